"""Everything worth knowing of one GPU, in the order of its worth: one command, one script, at most a given time.

    PYTHONPATH=. python benchmarks/gpu/all.py --seconds 570 --out OUT [--resume EARLIER]

Needs this checkout, PyTorch, timm, onnx, onnxruntime, scikit-learn, typer, scipy, pytest, and the wheels that
``carry.py`` packs. Each step is a process of its own: one that crashes or hangs costs its own result only. What is
finished stands in ``OUT`` at once; ``--resume`` goes on from another call's ``OUT``, also on another machine:

- ``results.json``: the machine of each call, and each step with its state, seconds, numbers and last lines;
- ``log.txt``: what was printed;
- ``kept.tar.gz``: profiles, their journals and predictors, renewed every 20 s, so that a kill costs no more.

``carry.py read`` puts them into the checkout. ``--cpu`` tries all of it, small, on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESERVE_S = 8.0  # of all seconds, for the last packing and the table
PACK_EVERY_S = 20.0
LAST_LINES = 60
MOST_BYTES = 15 << 20  # of one file that comes back


@dataclass(frozen=True)
class Step:
    """A script of ours.

    Args:
        name: of its result.
        words: of the command line after python; ``{seconds}``, ``{work}`` and ``{profile}`` are filled in.
        seconds: it may take, over all calls together.
        least: not worth beginning with less.
        result: a file of JSON that it leaves in the work folder.
        goes_on: whether a later call goes on with what is unfinished; else it begins anew.
    """

    name: str
    words: tuple[str, ...]
    seconds: float
    least: float
    result: str = ""
    goes_on: bool = False


def steps(cpu: bool) -> tuple[Step, ...]:
    """The first 25 minutes on a GPU; the same scripts at their smallest on a CPU."""
    device = "cpu" if cpu else "cuda:0"
    plan = "cpu" if cpu else "torch"
    small = ("--space", "vitas-digits", "--batch-size", "8", "--subnets", "1") if cpu else ()
    search = ("--small",) if cpu else ()
    gpu = str(HERE)
    return (
        Step("doctor", ("-m", "vitas_hw", "doctor", "--json"), 60, 20),
        Step(
            "tests",
            ("-m", "pytest", "-q", "-m", "gpu", "--continue-on-collection-errors", "-p", "no:cacheprovider", "tests"),
            170,
            60,
        ),
        Step(
            "probe",
            (f"{gpu}/probe.py", "--device", device, "--seconds", "{seconds}", "--out", "{work}/probe.json"),
            180,
            40,
            "probe.json",
        ),
        Step(
            "profiles",
            (f"{gpu}/profiles.py", "--plan", plan, "--seconds", "{seconds}", "--out", "{work}/profiles"),
            450,
            60,
            "profiles/plan.json",
            goes_on=True,
        ),
        Step(
            "training",
            (f"{gpu}/training.py", "--device", device, *small, "--seconds", "{seconds}", "--out", "{work}"),
            150,
            45,
            "training.json",
        ),
        Step(
            "kill and resume",
            (f"{gpu}/kill_and_resume.py", "--device", device, "--seconds", "{seconds}", "--out", "{work}/resume.json"),
            150,
            60,
            "resume.json",
        ),
        Step(
            "search",
            (f"{gpu}/search_target.py", "{profile}", *search, "--seconds", "{seconds}", "--out", "{work}"),
            240,
            90,
            "search_target.json",
        ),
        Step(
            "tensorrt",
            (f"{gpu}/profiles.py", "--plan", "tensorrt", "--seconds", "{seconds}", "--out", "{work}/tensorrt"),
            200,
            60,
            "tensorrt/plan.json",
            goes_on=True,
        ),
    )


class Kept:
    """The folder that comes back: written whole after each change."""

    def __init__(self, out: Path, work: Path) -> None:
        self.out, self.work = out, work
        self.results: dict[str, Any] = {"calls": [], "steps": {}}
        self._lock = threading.Lock()

    def take_up(self, earlier: Path) -> None:
        """What an earlier call left."""
        self.results = json.loads((earlier / "results.json").read_text())
        packed = earlier / "kept.tar.gz"
        if packed.is_file():
            with tarfile.open(packed) as tar:
                tar.extractall(self.work, filter="data")
        if (earlier / "log.txt").is_file():
            (self.out / "log.txt").write_text((earlier / "log.txt").read_text())

    def say(self, text: str) -> None:
        print(text, flush=True)
        with (self.out / "log.txt").open("a") as file:
            file.write(text + "\n")

    def write(self) -> None:
        self._replace("results.json", json.dumps(self.results, indent=1).encode() + b"\n")

    def pack(self) -> None:
        """The work folder without engines and images, which can be made again."""
        with self._lock, tempfile.TemporaryDirectory(dir=self.work.parent) as folder:
            packed = Path(folder) / "kept.tar.gz"
            with tarfile.open(packed, "w:gz", compresslevel=6) as tar:
                for path in sorted(self.work.rglob("*")):
                    inside = path.relative_to(self.work)
                    if path.is_file() and not {"engines", "images"} & set(inside.parts):
                        with suppress(OSError):  # gone or growing: the next pack has it
                            tar.add(path, str(inside))
            if packed.stat().st_size <= MOST_BYTES:
                self._replace("kept.tar.gz", packed.read_bytes())
            else:
                self.say(
                    f"kept.tar.gz would be {packed.stat().st_size >> 20} MiB, too large to come back: kept as it was"
                )

    def _replace(self, name: str, data: bytes) -> None:
        beside = self.work.parent / f"{name}.part"  # not in OUT: no more files there than named
        beside.write_bytes(data)
        with suppress(OSError):
            beside.replace(self.out / name)
            return
        (self.out / name).write_bytes(data)  # another file system


def machine(cpu: bool) -> dict[str, Any]:
    """What stands beside every number: the card, its clocks and limits, room in shared memory, the versions."""
    asked = {
        "gpu": "nvidia-smi --query-gpu=name,uuid,driver_version,power.limit,clocks.max.sm --format=csv,noheader",
        "state": "nvidia-smi -q -d CLOCK,POWER,PERFORMANCE",
        "shm": "df -h /dev/shm",
        "cpu": "lscpu",
        "packages": f"{sys.executable} -m pip list --format=freeze",
    }
    told = {}
    for name, line in asked.items():
        if cpu and line.startswith("nvidia-smi"):
            continue
        try:
            done = subprocess.run(line.split(), capture_output=True, text=True, timeout=30, check=False)
            told[name] = (done.stdout or done.stderr).strip()[-6000:]
        except (OSError, subprocess.TimeoutExpired) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


def run(step: Step, seconds: float, words: list[str], kept: Kept) -> dict[str, Any]:
    """One step; killed with all its children when its time and a little more is over."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
    lines: list[str] = []
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if step.name != "doctor":  # one object of JSON
                    kept.say(f"  {lines[-1]}")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    state, packed = "", time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        if time.monotonic() - started > seconds:
            state = "cut"
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        elif time.monotonic() - packed > PACK_EVERY_S:
            kept.pack()
            packed = time.monotonic()
    reader.join(5)
    state = state or ("done" if process.returncode == 0 else f"failed ({process.returncode})")
    found: dict[str, Any] = {"state": state, "seconds": round(time.monotonic() - started, 1)}
    if step.name == "doctor" and lines and lines[-1].startswith("{"):
        found["result"] = json.loads(lines[-1])
    else:
        found["last_lines"] = lines[-LAST_LINES:]
    path = kept.work / step.result
    if step.result and path.is_file():
        found["result"] = json.loads(path.read_text())
    return found


def profile_of(work: Path) -> Path | None:
    """The first profile of the plan, for the search."""
    plan = work / "profiles/plan.json"
    rows = json.loads(plan.read_text()) if plan.is_file() else []
    return next((work / "profiles" / f"{row['profile']}.jsonl" for row in rows if row.get("profile")), None)


def table(results: dict[str, Any]) -> list[str]:
    """A line a step."""
    rows = [("step", "state", "seconds", "said last")]
    for name, step in results["steps"].items():
        last = next((line for line in reversed(step.get("last_lines", [])) if line.strip()), "")
        rows.append((name, step["state"], f"{step['seconds']:.0f}", last.strip()[:90]))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]) for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=570)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="the --out of an earlier call")
    parser.add_argument("--cpu", action="store_true", help="try it without a GPU: the smallest form of each step")
    parser.add_argument("--stretch", type=float, default=1.0, help="times what a step may take, on a busy machine")
    parser.add_argument("--only", nargs="*", default=[], help="names of steps; default: all that are not done")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds - RESERVE_S
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vitas-gpu-") as folder:
        kept = Kept(given.out, Path(folder) / "work")
        kept.work.mkdir()
        if given.resume is not None:
            kept.take_up(given.resume)
        kept.results["calls"].append(machine(given.cpu) | {"begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        kept.write()
        for step in steps(given.cpu):
            take(replace(step, seconds=step.seconds * given.stretch), until, kept, given.only)
        kept.pack()
        for line in table(kept.results):
            kept.say(line)


def take(step: Step, until: float, kept: Kept, only: list[str]) -> None:
    """A step, if it is still to be done and there is time."""
    before = kept.results["steps"].get(step.name, {})
    if (only and step.name not in only) or (before.get("state") == "done" and not step.goes_on):
        return
    if step.goes_on and before.get("complete"):
        return
    spent = before.get("seconds", 0.0) if step.goes_on else 0.0
    seconds = min(step.seconds - spent, until - time.monotonic())
    if seconds < step.least:
        kept.say(f"=== {step.name}: no time left for it in this call")
        return
    profile = profile_of(kept.work)
    if "{profile}" in step.words and profile is None:
        kept.say(f"=== {step.name}: there is no profile to search on")
        return
    kept.say(f"=== {step.name}: at most {seconds:.0f} s")
    allowed = f"{seconds * 0.9:.0f}"  # scripts end by themselves, a little late
    words = list(step.words)
    for name, value in (("seconds", allowed), ("work", kept.work), ("profile", profile)):
        words = [word.replace(f"{{{name}}}", str(value)) for word in words]
    found = run(step, seconds, words, kept)
    found["call"] = len(kept.results["calls"]) - 1
    if step.goes_on:
        found["seconds"] = round(found["seconds"] + spent, 1)
        found["complete"] = all(row["complete"] for row in found.get("result", [{"complete": False}]))
    kept.results["steps"][step.name] = found
    kept.write()
    kept.pack()


if __name__ == "__main__":
    main()
