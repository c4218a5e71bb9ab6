"""The quickstart as a stranger runs it, and one search after it: time, memory, accuracy, how tight the budget is.

    python benchmarks/quickstart.py [--folder KEEP] [--output benchmarks/results/quickstart.json]

Run it on a quiet machine. Nothing here is a threshold; the goals stand beside the numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import vitas_hw as vh
from vitas_hw.profiling.environment import environment

ONE_CORE_RANDOM = 4000


def timed(folder: Path, *words: str) -> tuple[float, dict[str, object]]:
    start = time.perf_counter()
    done = subprocess.run(["vitas-hw", *words, "--json"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "quickstart.json")
    parser.add_argument("--folder", type=Path, help="an empty one to keep the run in, for other benchmarks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        seconds, found = timed(folder, "quickstart")
        peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        searches = {
            " ".join(words): timed(folder, *words)[0] for words in (("search",), ("search", "--latency", "5ms"))
        }
        refusal = time.perf_counter()
        subprocess.run(["vitas-hw", "search", "--latency", "0.001ms"], cwd=folder, check=False, capture_output=True)
        refusal = time.perf_counter() - refusal
        start = time.perf_counter()
        subprocess.run(["python", "-c", "import vitas_hw"], check=True)
        importing = time.perf_counter() - start
        (path,) = (folder / "runs/default/predictors").glob("*.json")
        predictor = vh.load_predictor(path)
        space = predictor.space
        codes = space.sample_codes(ONE_CORE_RANDOM, np.random.default_rng(99))
        latencies = predictor.predict_columns(space.columns(codes)).latency_ms
        ceiling = found["budget"]["latency_ms"][1]  # type: ignore[index]
        result = {
            "quickstart_s": round(seconds, 1),
            "quickstart_peak_gib": round(peak_gib, 2),
            "test_top1": found["top1"],
            "budget_ms": ceiling,
            "share_of_random_subnets_inside": float((latencies <= ceiling).mean()),
            "predicted_ms": found["predicted_ms"],
            "measured_ms": found["measured_ms"],
            "search_s": {words: round(value, 1) for words, value in searches.items()},
            "infeasible_search_s": round(refusal, 2),
            "python_and_import_s": round(importing, 3),
            "predictor": predictor.metrics,
            "random_subnets_p50_ms": {
                str(percent): round(float(np.percentile(latencies, percent)), 3)
                for percent in (0, 1, 10, 50, 90, 99, 100)
            },
            "environment": environment({"load_before": os.getloadavg()[0]}),
        }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    goals = {"quickstart_s": "<= 480", "quickstart_peak_gib": "<= 4", "test_top1": ">= 0.95", "search_s": "<= 90"}
    goals |= {"share_of_random_subnets_inside": "<= 1/6"}
    for key, value in result.items():
        if key != "environment":
            print(f"{key:32} {value}   {goals.get(key, '')}")


if __name__ == "__main__":
    main()
