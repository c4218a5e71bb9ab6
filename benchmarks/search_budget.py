"""Does the choice of a search keep its latency budget, and use it?

    python benchmarks/search_budget.py [--run runs/search-budget] [--searches 20] [--epochs 30] [--subnets 60]

On a quiet machine. In a run of its own this CPU is profiled and a supernet of digits trained, with small
settings, once. Then come searches with budgets across the range: quantiles of the latency predicted for random subnets
(they share the run's known evaluations, which changes no result). The choice of each is measured again by new
processes, in visits between readings of the fixed anchor model, and scaled to the anchor of the profile. Every search
is a line of ``results/search_budget.jsonl``: stopped and repeated, the script goes on with what is missing; lines of
another supernet or predictor do not count.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import RESULTS, read_rows, spread, write

from vitas_hw.cli.console import Reporter
from vitas_hw.core import SILENT, Budget, Range, VitasError, file_sha256
from vitas_hw.core.budget import write_cost
from vitas_hw.profiling import load_profile, place_of
from vitas_hw.runs import Run, load_run_predictor
from vitas_hw.runs.artifacts import run_profile
from vitas_hw.searching import SearchResult
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.measure_finalists import finalist_meter
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

SPACE = "vitas-digits"
SEARCHES, OVER, USED, INSIDE = 20, 0.03, 0.7, 0.95  # the goals: over at most by OVER or the noise floor's p90
RANDOM = 4000
LOWEST, HIGHEST = 0.05, 0.95  # quantiles


def prepare(run: Run, epochs: int, subnets: int) -> None:
    """Profile and train, if that was not done."""
    done = {step["step"] for step in run.read()["steps"]}
    if "profile" not in done:
        profile(run, ProfileSettings(num_subnets=subnets), space=SPACE, progress=Reporter())
    if "train" not in done:
        train(run, TrainSettings(epochs=epochs), progress=Reporter())


def budgets(run: Run, count: int) -> list[float]:
    """Ceilings in milliseconds, of three digits."""
    predictor, _ = load_run_predictor(run)
    codes = predictor.space.sample_codes(RANDOM, np.random.default_rng(0))
    latency = predictor.predict_columns(predictor.space.columns(codes)).latency_ms
    return [float(f"{value:.3g}") for value in np.quantile(latency, np.linspace(LOWEST, HIGHEST, count))]


def searched(run: Run, ceiling: float, seed: int) -> dict[str, Any]:
    """One search, and its choice measured again."""
    predictor, _ = load_run_predictor(run)
    place = place_of(predictor.target, predictor.fingerprint)
    assert place is not None, "the run was profiled on another machine"
    started = time.perf_counter()
    row: dict[str, Any] = {"ceiling_ms": ceiling, "seed": seed}
    try:
        settings = SearchSettings(seed=seed)
        result = search_run(run, Budget(latency_ms=Range(None, ceiling)), settings, progress=SILENT)
    except VitasError as error:
        return row | {"failed": str(error), "seconds": round(time.perf_counter() - started, 1)}
    seconds = round(time.perf_counter() - started, 1)
    meter = finalist_meter(place, run_profile(run, predictor), seed + 1000, SILENT)
    (again,) = meter([result.choice.subnet])
    return row | {
        "subnet": result.choice.subnet.to_dict(),
        "predicted_ms": result.choice.predicted_ms,
        "measured_ms": result.measured_ms[result.choice.subnet.digest],
        "measured_again_ms": again,
        "rounds": len(result.rounds),
        "refitted": run.searched_predictor.exists(),
        "larger_are_better": larger_are_better(result, ceiling),
        "seconds": seconds,
    }


def larger_are_better(result: SearchResult, ceiling: float) -> bool:
    """Whether the best candidate predicted above ``USED`` of the ceiling beats the best one below."""
    above, below = (
        [c.rank for c in result.candidates if ((c.predicted_ms or 0) * result.correction > USED * ceiling) == large]
        for large in (True, False)
    )
    return bool(above) and (not below or max(above) > max(below))


def summary(rows: Sequence[dict[str, Any]], noise_p90: float) -> dict[str, Any]:
    """What the goals speak of; a search that ended without a choice is counted as not inside."""
    chosen = [row for row in rows if "failed" not in row]
    ratios = [row["measured_again_ms"] / row["ceiling_ms"] for row in chosen]
    used = [ratio for row, ratio in zip(chosen, ratios, strict=True) if row["larger_are_better"]]
    allowed = max(OVER, noise_p90)
    return {
        "searches": len(rows),
        "ended_without_choice": len(rows) - len(chosen),
        "inside": sum(ratio <= 1 for ratio in ratios),
        "inside_goal": int(np.ceil(INSIDE * len(rows))),
        "worst_over": round(max([ratio - 1 for ratio in ratios], default=float("nan")), 4),
        "over_allowed": round(allowed, 4),
        "noise_floor_p90": round(noise_p90, 4),
        "within_allowed": sum(ratio - 1 <= allowed for ratio in ratios),
        "share_used": spread(ratios) if ratios else None,
        "where_larger_are_better": {"searches": len(used), "used_more_than": USED, "did": sum(r > USED for r in used)},
        "refitted": sum(row["refitted"] for row in chosen),
        "first_measurement_over_second": spread([row["measured_ms"] / row["measured_again_ms"] for row in chosen])
        if chosen
        else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/search-budget"))
    parser.add_argument("--searches", type=int, default=SEARCHES)
    parser.add_argument("--most", type=int, help="stop after so many searches more, without a result if some miss")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--subnets", type=int, default=60)
    parser.add_argument("--output", type=Path, default=RESULTS / "search_budget.json")
    given = parser.parse_args()
    load, run, path = os.getloadavg()[0], Run(given.run), given.output.with_suffix(".jsonl")
    prepare(run, given.epochs, given.subnets)
    predictor, predictor_path = load_run_predictor(run)
    about = f"{file_sha256(run.supernet)}{file_sha256(predictor_path)}"
    stamp = {"run": hashlib.sha256(about.encode()).hexdigest()[:16]}
    rows = [row for row in read_rows(path) if stamp.items() <= row.items()]
    done = {(row["ceiling_ms"], row["seed"]) for row in rows}
    wanted = [(ceiling, seed) for seed, ceiling in enumerate(budgets(run, given.searches))]
    missing = [one for one in wanted if one not in done][: given.most]
    path.parent.mkdir(parents=True, exist_ok=True)
    for ceiling, seed in missing:
        row = searched(run, ceiling, seed) | stamp
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
        again = row.get("measured_again_ms")
        print(f"{write_cost(ceiling, 'latency_ms')}: again {again} ms, {row['seconds']} s", flush=True)
    rows = [row for row in rows if (row["ceiling_ms"], row["seed"]) in wanted]
    if len(rows) < len(wanted):
        print(f"{len(rows)} of {len(wanted)} searches are done; repeat the command for the rest")
        return
    floor = load_profile(run.profiles / f"{predictor.name}.jsonl").noise_floor
    assert floor is not None
    result = summary(rows, floor.p90)
    settings = {"space": SPACE, "epochs": given.epochs, "subnets": given.subnets, "searches": given.searches}
    write(given.output, {**result, "target": predictor.target.slug, "rows": rows}, settings, load)
    for key, value in result.items():
        print(f"{key:32} {value}")


if __name__ == "__main__":
    main()
