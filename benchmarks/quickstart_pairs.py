"""The quickstart of an older commit and of this one, in turn on one machine: time, memory, accuracy, budget kept.

    python benchmarks/quickstart_pairs.py [--seeds 0 1 2 3 4 5] [--against ff0ff2e] [--folder KEEP]

The older commit is checked out into KEEP and installed into an environment of its own; this one runs as it is
installed here. Each seed is a pair, whose order alternates. Then a new process measures each choice of this commit
again, beside the anchor of the profile that its run made. Lines are kept in results/quickstart_pairs.jsonl as they
come; a seed that has its line is not run again. On a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import RESULTS, read_rows, write

from vitas_hw.core import append_line

ROWS = RESULTS / "quickstart_pairs.jsonl"
GOALS = {"ratio": 0.33, "top1_lost": 0.005, "gib": 1.2}
_REPO = Path(__file__).parent.parent
_CHILD = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True)
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
print(json.dumps({"seconds": round(seconds, 1), "peak_gib": round(peak, 2)} | {"found": json.loads(done.stdout)}))
"""
_AGAIN = """
import json, sys
from pathlib import Path
from vitas_hw.core.progress import SILENT
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import place_of
from vitas_hw.runs.artifacts import load_run_predictor, run_profile
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.search.measure_finalists import finalist_meter
run = Run(Path(sys.argv[1]))
predictor, _ = load_run_predictor(run)
place = place_of(predictor.target, predictor.fingerprint)
subnet = Subnet.from_dict(json.loads(sys.argv[2]))
print(json.dumps(finalist_meter(place, run_profile(run, predictor), 1000, SILENT)([subnet])[0]))
"""


def installed(folder: Path, commit: str) -> Path:
    """The Python of an environment that holds that commit alone."""
    python = folder / "environment/bin/python"
    if not python.exists():
        source = folder / "source"
        subprocess.run(["git", "clone", "-q", _REPO, source], check=True)
        subprocess.run(["git", "-C", source, "checkout", "-q", commit], check=True)
        subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", source], check=True)
    return python


def quickstart(python: Path, folder: Path, seed: int) -> dict[str, Any]:
    """A new process of a new run: seconds, peak of the largest of its processes, what it found."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [python, "-m", "vitas_hw", "quickstart", "--seed", str(seed), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *words], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    found = told.pop("found")
    return told | {
        "test_top1": found["top1"],
        "budget_ms": found["budget"]["latency_ms"][1],
        "measured_ms": found["measured_ms"],
        "subnet": found["subnet"],
    }


def measured_again(run: Path, subnet: dict[str, Any]) -> float:
    words = [sys.executable, "-c", _AGAIN, str(run), json.dumps(subnet)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def pair(seed: int, old: Path, folder: Path) -> dict[str, Any]:
    pythons = {"old": old, "new": Path(sys.executable)}
    found = {}
    for name in ("old", "new") if seed % 2 == 0 else ("new", "old"):
        found[name] = quickstart(pythons[name], folder / f"{name}-{seed}-{time.time_ns()}", seed)
        print(seed, name, {key: value for key, value in found[name].items() if key != "subnet"}, flush=True)
    runs = sorted(folder.glob(f"new-{seed}-*/runs/default"))
    found["new"]["measured_again_ms"] = measured_again(runs[-1], found["new"]["subnet"])
    return {"seed": seed} | found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the goals speak of."""
    ratios = [row["new"]["seconds"] / row["old"]["seconds"] for row in rows]
    old, new = ([row[name]["test_top1"] for row in rows] for name in ("old", "new"))
    return {
        "pairs": len(rows),
        "seconds": {name: [row[name]["seconds"] for row in rows] for name in ("old", "new")},
        "ratio": round(float(np.median(ratios)), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
        "test_top1": {"old": round(float(np.mean(old)), 5), "new": round(float(np.mean(new)), 5)},
        "top1_lost": round(float(np.mean(old) - np.mean(new)), 5),
        "inside": sum(row["new"]["measured_again_ms"] <= row["new"]["budget_ms"] for row in rows),
        "over": [round(row["new"]["measured_again_ms"] / row["new"]["budget_ms"] - 1, 4) for row in rows],
        "peak_gib": {name: max(row[name]["peak_gib"] for row in rows) for name in ("old", "new")},
        "goals": GOALS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--against", default="ff0ff2e", help="a commit of this repository")
    parser.add_argument("--folder", type=Path, help="keeps the older environment and the runs")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = (given.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        old = installed(folder, given.against)
        for seed in given.seeds:
            if not any(row["seed"] == seed for row in read_rows(ROWS)):
                append_line(ROWS, pair(seed, old, folder / "runs"))
    result = summary(read_rows(ROWS))
    write(RESULTS / "quickstart_pairs.json", result, {"against": given.against}, load)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
