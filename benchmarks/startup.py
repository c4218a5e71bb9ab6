"""How long commands take that have nothing heavy to do, each a process, against ``python -c "import numpy"``.

Alternating: in each round every command once, in an order drawn anew; the first round is not counted. Medians of wall
time, and of CPU seconds beside them. The run, the predictor and what is refused come from the tests' files.

    python benchmarks/startup.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_tools import RESULTS, spread, write

OLD = Path(__file__).resolve().parent.parent / "tests" / "older_files" / "v1"
BARE = "python -c 'import numpy'"
FACTOR, BESIDE_S = 2.0, 0.3  # the goal: under so many times numpy's, plus so many seconds


@dataclass(frozen=True)
class Call:
    """What Python is called with, and the status that it ends with."""

    words: tuple[str, ...]
    status: int = 0


def ours(*words: str, status: int = 0) -> Call:
    return Call(("-m", "vitas_hw", *words), status)


CALLS = {
    BARE: Call(("-c", "import numpy")),
    "runs": ours("runs"),
    "predict, a linear predictor": ours("predict", "smallest", "--predictor", str(OLD / "predictor-linear.json")),
    "a refused option": ours("train", "--epochs", "0", status=2),
    "a refused run": ours("search", "--run", "runs/nowhere", "--flops", "1M", status=2),
    "--help": ours("--help"),
    "train --help": ours("train", "--help"),
    "doctor --no-probe": ours("doctor", "--no-probe"),
}


def timed(call: Call, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a process. Raises RuntimeError if it ends with another status."""
    start = time.perf_counter()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([sys.executable, *call.words], cwd=folder, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != call.status:
        raise RuntimeError(f"{call.words} ended with {process.returncode}: {(folder / 'said').read_text()[-2000:]}")
    return wall, used.ru_utime + used.ru_stime


def measured(calls: Mapping[str, Call], rounds: int, seed: int = 0) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of each call, one a round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    orders = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="startup-") as folder:
        place = Path(folder)
        shutil.copytree(OLD / "run", place / "runs" / "default")
        for number in range(rounds + 1):
            for name in orders.sample(sorted(calls), len(calls)):
                times = timed(calls[name], place)
                if number:  # files are in memory by then, and compiled
                    found[name].append(times)
    return found


def summary(found: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Spreads of each, and whether its median wall time is under the goal."""
    rows: dict[str, Any] = {}
    bare = spread([wall for wall, _ in found[BARE]])["median"]
    goal = FACTOR * bare + BESIDE_S
    for name, times in found.items():
        wall, cpu = (spread(one) for one in zip(*times, strict=True))
        rows[name] = {"wall_s": wall, "cpu_s": cpu}
        if name != BARE:
            rows[name] |= {"over_numpy": round(wall["median"] / bare, 2), "met": wall["median"] < goal}
    return {"goal_s": round(goal, 3), "met": all(row.get("met", True) for row in rows.values()), "calls": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="processes of each")
    parser.add_argument("--output", type=Path, default=RESULTS / "startup.json")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    found = summary(measured(CALLS, asked.rounds))
    print(f"{'':32}{'wall s':>10}{'CPU s':>10}{'of numpy':>10}")
    for name, row in found["calls"].items():
        ratio = f"{row['over_numpy']:.2f}" if name != BARE else ""
        print(f"{name:32}{row['wall_s']['median']:10.3f}{row['cpu_s']['median']:10.3f}{ratio:>10}")
    print(f"goal: under {found['goal_s']:.3f} s, {'met' if found['met'] else 'missed'}")
    write(asked.output, found, {"rounds": asked.rounds}, load)


if __name__ == "__main__":
    main()
