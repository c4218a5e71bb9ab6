"""How many threads suit a training: net sizes by threads, alone; and CPU seconds where others take half of the CPUs.

    python benchmarks/training_threads.py [--rounds 2] [--output benchmarks/results/training_threads.json]

Four nets: plain ones of 1M and 6M MACs (28 x 28, batches of 128), the supernet of ``vitas-digits`` (64) and DeiT-Ti
(224 x 224, 16); random images in memory. First each trains with 1, 2, 4 ... threads on the machine alone: images a
second, and those of the number that ``training/threads.py`` takes over the best. Then with that number, threads that
sleep while they wait, as every command trains, and beside it with torch's own number and spinning threads, as a bare
script does: alone, and while as many processes as half of the CPUs compute without end. CPU seconds there over those
alone: goal at most 1.3. About six minutes on two cores; nothing else may run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

GOAL = 1.3
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE"}


def cases() -> list[Any]:
    """Some seconds each on one core."""
    from training_loop import RECIPE, SMALL, Case

    import vitas_hw as vh
    from vitas_hw.supernet import build_model

    made = [
        Case(f"{name} MACs", lambda subnet=subnet: build_model(subnet, seed=0), subnet, RECIPE, images)
        for (name, subnet), images in zip(SMALL.items(), (6144, 1536), strict=True)
    ]
    digits = vh.load_space("vitas-digits")
    supernet = replace(RECIPE, batch_size=64)
    made.append(Case("supernet of vitas-digits", lambda: vh.build_supernet(digits, seed=0), digits, supernet, 1024))
    tiny = replace(vh.published_subnet("deit-ti"), in_chans=1, num_classes=10)
    photos = replace(RECIPE, batch_size=16)
    made.append(Case("DeiT-Ti", lambda: build_model(tiny, seed=0), tiny, photos, 32))
    return made


def by_rule(case: Any) -> int:
    from vitas_hw.core import Subnet
    from vitas_hw.training.threads import threads_for

    of = case.space
    macs = of.macs if isinstance(of, Subnet) else (of.smallest.macs + of.largest.macs) / 2
    return threads_for(macs, case.recipe.batch_size, CORES)


def one_process(threads: list[int | None]) -> None:
    """Prints, for each net and number of threads (None is the rule's), seconds by the clock and of CPU, one a line."""
    import torch
    from training_loop import ours

    for case in cases():
        part = case.part()
        for asked in threads:
            number = by_rule(case) if asked is None else asked
            torch.set_num_threads(number)
            ours(replace(case, recipe=replace(case.recipe, epochs=1, warmup_epochs=0)), part)()  # warm-up
            run = ours(case, part)
            clock, cpu = time.perf_counter(), time.process_time()
            run()
            seconds = time.perf_counter() - clock, time.process_time() - cpu
            found = {"net": case.name, "threads": number, "wall_s": seconds[0], "cpu_s": seconds[1]}
            print(json.dumps(found | {"images": case.recipe.epochs * case.images}), flush=True)


def measured(threads: list[int | None], environment: dict[str, str]) -> list[dict[str, Any]]:
    """``one_process`` in a fresh one, whose OpenMP reads the environment when it is loaded."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_", "GOMP_"))}
    words = [sys.executable, __file__, "--one-process", json.dumps(threads)]
    printed = subprocess.run(words, env=kept | environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def alone_by_threads(rounds: int) -> list[dict[str, Any]]:
    numbers: list[int | None] = [2**power for power in range(CORES.bit_length()) if 2**power <= CORES]
    rows = [row for _ in range(rounds) for row in measured(numbers, SLEEPING)]
    found = []
    for case in cases():
        mine = [row for row in rows if row["net"] == case.name]
        speed = {
            number: statistics.median(row["images"] / row["wall_s"] for row in mine if row["threads"] == number)
            for number in numbers
        }
        rule = by_rule(case)
        near = min(speed, key=lambda number: abs(number - rule))  # type: ignore[operator]
        ratio = speed[near] / max(speed.values())
        found.append({"net": case.name, "images_a_second": speed, "rule": rule, "of_the_best": ratio})
        print(
            f"{case.name:26s} rule {rule}, {ratio:.2f} of the best;",
            {n: round(s) for n, s in speed.items()},
            flush=True,
        )
    return found


def beside_others(rounds: int) -> list[dict[str, Any]]:
    ways = {"ours": ([None], SLEEPING), "a bare script": ([CORES], {})}
    found = []
    for way, (threads, environment) in ways.items():
        seconds: dict[str, list[dict[str, Any]]] = {"alone": [], "busy": []}
        for _ in range(rounds):
            seconds["alone"] += measured(threads, environment)
            with others(max(CORES // 2, 1)):
                seconds["busy"] += measured(threads, environment)
        for net in dict.fromkeys(row["net"] for row in seconds["alone"]):
            middle = {
                (when, kind): statistics.median(row[kind] for row in rows if row["net"] == net)
                for when, rows in seconds.items()
                for kind in ("cpu_s", "wall_s")
            }
            ratio = {kind: middle["busy", kind] / middle["alone", kind] for kind in ("cpu_s", "wall_s")}
            about = {f"{when}_{kind}": value for (when, kind), value in middle.items()}
            found.append({"net": net, "way": way, "cpu_ratio": ratio["cpu_s"], "wall_ratio": ratio["wall_s"], **about})
            print(
                f"{net:26s} {way}: CPU seconds {ratio['cpu_s']:.2f} times those alone, clock {ratio['wall_s']:.2f}",
                flush=True,
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one-process", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_process is not None:
        one_process(given.one_process)
        return
    from bench_tools import RESULTS, write

    load = os.getloadavg()[0]
    found = {"goal": GOAL, "cores": CORES, "alone": alone_by_threads(given.rounds)}
    found["beside_others"] = beside_others(given.rounds)
    write(given.output or RESULTS / "training_threads.json", found, {"rounds": given.rounds}, load)


if __name__ == "__main__":
    main()
