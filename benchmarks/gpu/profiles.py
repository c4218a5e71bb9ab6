"""Profiles of a GPU, the most important first, each ended in time.

    PYTHONPATH=. python benchmarks/gpu/profiles.py --seconds 480 --out OUT [--first 0] [--resume EARLIER]

Needs this checkout, Python >= 3.11, PyTorch, timm, scikit-learn and xgboost (``xgboost-cpu`` is small enough to be
carried to a machine without a network); nothing is installed or downloaded. ``OUT`` gets a profile and its journal for
each entry of the plan that was begun, ``plan.json`` with what became of each, ``log.txt`` with what was said, and
``machine.json``. A later call with the same ``OUT``, or with ``--resume``, goes on. Predictors are fitted elsewhere:
``vitas-hw fit PROFILE``. ``--plan cpu`` tries all of it on a machine without a GPU, with few and small subnets.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core import Deadline, VitasError
from vitas_hw.profiling import save_profile
from vitas_hw.profiling.environment import environment
from vitas_hw.runs import Run
from vitas_hw.workflows.profile.profile import measured
from vitas_hw.workflows.profile.settings import ProfileSettings

_LEAST_S = 45.0  # not worth beginning with less: the process, the first kernels, some subnets


@dataclass(frozen=True)
class Entry:
    """One profile of the plan: its share of the seconds that are left when its turn comes."""

    space: str
    backend: str
    precision: str
    batch_size: int
    num_subnets: int
    share: float = 1.0
    device: str = "cuda:0"
    rounds: int = 1


PLANS = {
    "torch": (
        Entry("vitas-deit-tiny", "torch", "fp16", 1, 800),
        Entry("vitas-deit-tiny", "torch", "fp16", 64, 800),
        Entry("vitas-deit-small", "torch", "fp16", 1, 300),
        Entry("vitas-deit-tiny", "torch", "bf16", 1, 800),
        Entry("vitas-deit-small", "torch", "fp16", 64, 300),
        Entry("vitas-deit-tiny", "torch", "bf16", 64, 800),
        Entry("vitas-deit-small", "torch", "bf16", 1, 300),
        Entry("vitas-deit-small", "torch", "bf16", 64, 300),
    ),
    "tensorrt": tuple(Entry("vitas-deit-tiny", backend, "fp16", 1, 200) for backend in ("tensorrt", "tensorrt-rtx")),
    "cpu": (
        Entry("vitas-digits", "torch", "fp32", 1, 24, 0.5, "cpu"),
        Entry("vitas-digits", "torch-eager", "fp32", 1, 24, 1.0, "cpu"),
    ),
}


class Log:
    """Lines on stdout and in a file, each with the seconds since the begin."""

    def __init__(self, path: Path) -> None:
        self._path, self._started = path, time.monotonic()

    def note(self, text: str) -> None:
        line = f"{time.monotonic() - self._started:6.1f} s  {text}"
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
        def advance(detail: str) -> None:  # noqa: ARG001
            nonlocal done
            done += 1
            if done % 50 == 0 or done == total:
                self.note(f"{text}: {done}/{total}")

        yield advance


def measure(entry: Entry, seconds: float, out: Path, log: Log) -> dict[str, Any]:
    """One profile into ``out``, and what became of it; a runtime that does not load or run here costs a line."""
    run = Run(out / "run" / entry.space)
    settings = ProfileSettings(
        device=entry.device,
        backend=entry.backend,
        precision=entry.precision,
        batch_size=entry.batch_size,
        num_subnets=entry.num_subnets,
        rounds=entry.rounds,
    )
    log.note(f"--- {asdict(entry)}, at most {seconds:.0f} s")
    try:
        profile, _ = measured(run, settings, entry.space, False, Deadline.after(seconds), log)
    except VitasError as error:
        log.note(f"NOT MEASURED: {error}")
        return {"complete": True, "refused": str(error)}
    except Exception:
        log.note(f"NOT MEASURED, and not expected:\n{traceback.format_exc()}")
        return {"complete": False, "refused": traceback.format_exc()}
    if not profile.measurements:
        return {"complete": False}
    save_profile(profile, out / f"{profile.name}.jsonl")
    floor = profile.noise_floor
    latencies = sorted(row.latency_ms for row in profile.ok)
    ends = f"{latencies[0]:.3g} to {latencies[-1]:.3g} ms" if latencies else "none ran"
    log.note(
        f"{profile.name}: {len(profile.ok)} of {entry.num_subnets} subnets, {ends}, noise floor "
        + ("not measured" if floor is None else f"{floor.mean:.2%}, 90th percentile {floor.p90:.2%}")
    )
    return {
        "complete": len(profile.measurements) >= entry.num_subnets and floor is not None,
        "profile": profile.name,
        "ok": len(profile.ok),
        "failed": len(profile.measurements) - len(profile.ok),
        "latency_ms": latencies and [latencies[0], latencies[-1]],
        "noise_floor": floor and {"mean": floor.mean, "p90": floor.p90},
    }


def pack(out: Path) -> None:
    """The journals beside the profiles, compressed."""
    for journal in sorted(out.glob("run/*/profiles/*.journal.jsonl")):
        packed = out / f"{journal.name}.gz"
        packed.write_bytes(gzip.compress(journal.read_bytes()))


def unpack(earlier: Path, out: Path) -> None:
    """The journals of an earlier call, where this one looks for them."""
    for packed in sorted(earlier.glob("*.journal.jsonl.gz")):
        space = packed.name.removesuffix(".journal.jsonl.gz").split("--", 1)[1]
        folder = out / "run" / space / "profiles"
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / packed.name.removesuffix(".gz")
        if not journal.exists():  # one that is there was killed before it was packed, and is newer
            journal.write_bytes(gzip.decompress(packed.read_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", choices=PLANS, default="torch")
    parser.add_argument("--first", type=int, default=0, help="entry of the plan to begin with")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="what an earlier call left in its --out")
    given = parser.parse_args()
    started = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    log = Log(given.out / "log.txt")
    unpack(given.resume or given.out, given.out)
    about = environment({"plan": given.plan, "seconds": given.seconds})
    (given.out / "machine.json").write_text(json.dumps(about, indent=1) + "\n")
    log.note(json.dumps(about))
    entries = PLANS[given.plan]
    progress = given.out / "plan.json"
    states = json.loads(progress.read_text()) if progress.exists() else [{"complete": False} for _ in entries]
    for number, entry in enumerate(entries):
        if number < given.first or states[number]["complete"]:
            continue
        left = given.seconds - (time.monotonic() - started)
        if left * entry.share < _LEAST_S:
            log.note(f"no time left for {asdict(entry)}")
            continue
        states[number] = {**asdict(entry), **measure(entry, left * entry.share, given.out, log)}
        pack(given.out)
        progress.write_text(json.dumps(states, indent=1) + "\n")
    shutil.rmtree(given.out / "run", ignore_errors=True)  # deeper than what comes back; its journals are packed


if __name__ == "__main__":
    main()
