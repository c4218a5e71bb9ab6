"""Subnets predicted a second by each shipped predictor, on one core: best of several, from subnets and from codes.

    python benchmarks/predictor_throughput.py [--output benchmarks/results/predictor_throughput.json]

Wants a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_tools import RESULTS, write
from threadpoolctl import threadpool_limits

import vitas_hw as vh
from vitas_hw.predictors import Predictor
from vitas_hw.predictors.shipped import shipped

REPEATS = 7
GOALS = {"from_subnets": 20_000, "from_codes": 200_000}


def best(count: int, work: Callable[[], object]) -> int:
    """A second, in the fastest repeat."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(count / min(seconds))


def throughput(predictor: Predictor) -> dict[str, int]:
    space = predictor.space
    codes = space.sample_codes(100_000, np.random.default_rng(0))
    subnets = [space.decode(code) for code in codes[:10_000]]
    with threadpool_limits(1):
        return {
            "from_subnets": best(len(subnets), lambda: predictor.predict(subnets)),
            "from_codes": best(len(codes), lambda: predictor.predict_columns(space.columns(codes))),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "predictor_throughput.json")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    rows = {}
    for path in sorted(shipped("predictors").glob("*.json")):
        rows[path.stem] = throughput(vh.load_predictor(path))
        print(f"{path.stem}: {rows[path.stem]} (goals {GOALS})", flush=True)
    write(arguments.output, {"goals": GOALS, "predictors": rows}, {"repeats": REPEATS}, load_before)


if __name__ == "__main__":
    main()
