"""Spoils files for every reader for a while, and counts what came of it: python tests/fuzz/run_fuzz.py --minutes 10

Each reader works in a process of its own, so that a crash, a hang or a full memory is one input's outcome, and the next
input goes on. An input is known by its reader, the seed and its number: --only READER --seed SEED --first NUMBER
--inputs 1 tries it again, and says what was raised.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from mutations import blind
from targets import TARGETS, try_one

READ, REFUSED, UNEXPECTED, INSANE, CRASH, HANG = "read", "refused", "unexpected", "not finite", "crash", "too slow"
BAD = (UNEXPECTED, INSANE, CRASH, HANG)
PATIENCE_S, _ASLEEP_S = 20, 600  # for one input: of processor time, for the machine may be busy, and by the clock
_TURNS = 20
_MORE_MEMORY = 4 * 2**30  # bytes of addresses beyond what the libraries take
_LIBRARIES = ("numpy", "onnx", "pillow", "pydantic", "pyyaml", "safetensors", "torch", "xgboost")


@dataclass
class Count:
    """What came of a reader's inputs; ``examples`` are the first numbers of each bad outcome, with what was said."""

    outcomes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def bad(self, outcome: str, number: int, said: str) -> None:
        self.outcomes[outcome] += 1
        kept = self.examples.setdefault(outcome, [])
        if len(kept) < 20:
            kept.append(f"{number}: {said}"[:600])


def spoiled(name: str, seed: int, number: int) -> bytes:
    """The input of that number: the same bytes each time."""
    rng = random.Random(f"{name} {seed} {number}")  # noqa: S311
    reader = TARGETS[name]
    mutator, data = rng.choice((blind, *reader.mutators)), rng.choice(reader.seeds)
    try:
        return mutator(data, rng)
    except (ValueError, LookupError, TypeError, AttributeError):
        return blind(data, rng)  # a change upon a change left nothing of the file's form


def outcome_of(name: str, data: bytes) -> tuple[str, str]:
    """What came of an input, and what was said if it was bad."""
    try:
        return (READ if try_one(name, data) else REFUSED), ""
    except AssertionError as error:
        return INSANE, f"{error} at {_where()}"
    except Exception as error:
        return UNEXPECTED, f"{error!r} at {_where()}"


def _where() -> str:
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "vitas_hw" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"


def work(pipe: Connection, name: str, seed: int, first: int, last: int) -> None:
    """In a process of its own: tries inputs, and sends (next number, outcomes, bad ones)."""
    os.close(2)  # native code complains of broken files there
    os.open(os.devnull, os.O_WRONLY)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + _MORE_MEMORY, resource.RLIM_INFINITY))
    counts: Counter[str] = Counter()
    bad: list[tuple[str, int, str]] = []
    for number in range(first, last):
        pipe.send((number, counts, bad))
        counts, bad = Counter(), []
        outcome, said = outcome_of(name, spoiled(name, seed, number))
        if outcome in BAD:
            bad.append((outcome, number, said))
        else:
            counts[outcome] += 1
    pipe.send((last, counts, bad))


def answers(pipe: Connection, pid: int) -> bool:
    """Waits for the next message; False once its input has taken too much processor time, or waits for ever itself."""
    begun, started = _cpu_s(pid), time.monotonic()
    while not pipe.poll(1):
        if _cpu_s(pid) - begun > PATIENCE_S or time.monotonic() - started > _ASLEEP_S:
            return False
    return True


def _cpu_s(pid: int) -> float:
    try:
        taken = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(taken.user + taken.system)


def fuzz(name: str, seed: int, first: int, last: int, until: float, count: Count) -> None:
    """Tries the inputs ``first`` to ``last`` of a reader, as far as it gets until then; counts what comes of them."""
    number = first
    context = multiprocessing.get_context("fork")
    while number < last and time.monotonic() < until:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(theirs, name, seed, number, last))
        process.start()
        theirs.close()
        try:
            while number < last and time.monotonic() < until:
                if not answers(ours, process.pid or 0):
                    count.bad(HANG, number, f"more than {PATIENCE_S} s of processor time")
                    number += 1
                    break
                number, outcomes, bad = ours.recv()
                count.outcomes.update(outcomes)
                for one in bad:
                    count.bad(*one)
        except EOFError:
            process.join()
            count.bad(CRASH, number, f"exit status {process.exitcode}")
            number += 1
        process.kill()
        process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all readers together")
    parser.add_argument("--inputs", type=int, help="instead: how many for all readers together")
    parser.add_argument("--seed", type=int, help="of the changes; default: another one each time")
    parser.add_argument("--only", choices=TARGETS, help="one reader")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--output", type=Path, help="a JSON file of the counts")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    names = list(TARGETS) if asked.only is None else [asked.only]
    shares = sum(TARGETS[name].share for name in names)
    counts, started = {name: Count() for name in names}, time.monotonic()
    for turn in range(_TURNS):  # so that all readers are as far when it is stopped
        for name in names:
            share = TARGETS[name].share / shares
            most = (asked.inputs or 10**9) * share / _TURNS
            first, last = (asked.first + round(most * at) for at in (turn, turn + 1))
            until = time.monotonic() + (float("inf") if asked.inputs else 60 * asked.minutes * share / _TURNS)
            fuzz(name, seed, first, last, until, counts[name])
        wrong = told(seed, counts, time.monotonic() - started, asked.output)
    for name, count in counts.items():
        said = ", ".join(f"{outcome} {many:,}" for outcome, many in sorted(count.outcomes.items()))
        examples = [f"  {one}" for some in count.examples.values() for one in some]
        print(f"{name}: {said}", *examples, sep="\n")
    return 1 if wrong else 0


def told(seed: int, counts: dict[str, Count], seconds: float, output: Path | None) -> int:
    """Prints and keeps where it stands. How many inputs came to what they must not."""
    total = sum((count.outcomes for count in counts.values()), Counter[str]())
    wrong = sum(total[outcome] for outcome in BAD)
    print(f"seed {seed}: {total.total():,} inputs in {seconds:.0f} s, {wrong} of them bad", flush=True)
    if output is not None:
        versions = {name: version(name) for name in _LIBRARIES} | {"python": sys.version.split()[0]}
        readers = {name: dict(sorted(count.outcomes.items())) for name, count in counts.items()}
        bad = {name: count.examples for name, count in counts.items() if count.examples}
        found: dict[str, Any] = {"seed": seed, "inputs": total.total(), "outcomes": dict(total), "bad": wrong}
        whole = found | {"readers": readers, "examples": bad, "versions": versions}
        output.write_text(json.dumps(whole, indent=1) + "\n")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
