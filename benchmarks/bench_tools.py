"""What the benchmarks share: bootstrap intervals, spreads, jobs done one by one, JSON with machine and versions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import vitas_hw as vh
from vitas_hw.profiling.environment import environment

RESULTS = Path(__file__).parent / "results"
RESAMPLES = 2000
Floats = npt.NDArray[np.float64]


def resamples(count: int, times: int = RESAMPLES) -> npt.NDArray[np.int64]:
    """(times, count) rows of indices drawn with replacement, always the same: differences are then paired."""
    return np.random.default_rng(0).integers(0, count, (times, count))


def bootstrap(values: Sequence[float], statistic: Callable[..., Any] = np.mean) -> list[float]:
    """The 95% percentile interval of a statistic (with ``axis``) of one value a unit."""
    drawn = statistic(np.asarray(values)[resamples(len(values))], axis=1)
    return [round(float(bound), 5) for bound in np.percentile(drawn, (2.5, 97.5))]


def identity_codes(space: vh.SearchSpace, count: int, rng: np.random.Generator, p: float) -> npt.NDArray[np.int64]:
    """(count, code_length) codes whose optional blocks are each the identity with probability ``p``.

    The very codes that studies before 2026-11-25 drew: their rows name subnets that were drawn so.
    """
    codes = rng.integers(0, space.cardinalities, size=(count, space.code_length))
    fewest, most = space.depth
    ops = rng.integers(1, len(space.num_heads) + 1, size=(count, most))
    ops[:, fewest:][rng.random((count, most - fewest)) < p] = 0
    if not space.identity_shifting:
        ops = rng.permuted(ops, axis=1)
    codes[:, 2::3] = ops
    return space.canonical(codes)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median with its bootstrap interval, quartiles and ends."""
    least, lower, middle, upper, most = (float(value) for value in np.percentile(values, (0, 25, 50, 75, 100)))
    quartiles = {"min": least, "q1": lower, "median": middle, "q3": upper, "max": most}
    return {key: round(value, 5) for key, value in quartiles.items()} | {"median_95": bootstrap(values, np.median)}


def write(path: Path, result: dict[str, Any], settings: dict[str, Any], load_before: float) -> None:
    """The result with the machine behind it; ``load_before`` is the load average before the first measurement."""
    settings = settings | {"load_before": load_before, "load_after": os.getloadavg()[0]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result | {"environment": environment(settings)}, indent=1) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_missing(jobs: Sequence[Any], run: Callable[[Any], dict[str, Any]], path: Path, workers: int) -> None:
    """Run each job (a dataclass) that has no row in the file yet, and append the row that ``run`` gives.

    A row holds the fields of its job, by which it is known again; it may be stopped and repeated.
    """
    done = read_rows(path)
    missing = [job for job in jobs if not any(asdict(job).items() <= row.items() for row in done)]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} done", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for finished in as_completed([pool.submit(run, job) for job in missing]):
            row = finished.result()
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print({key: value for key, value in row.items() if not isinstance(value, dict | list)}, flush=True)
