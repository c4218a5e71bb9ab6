"""Does the default road on the digits search something worth searching? Three supernets, each searched many times.

    python benchmarks/digits.py [--seeds 0 1 2] [--folder KEEP] [--output benchmarks/results/digits.json]

One profile of this machine, then of each seed: the supernet trained with all defaults; its loss by depth, all else
alike, on the whole search part; the default search, with the share of its candidates that the images cannot tell from
the best; its choice beside five random subnets at 0.9 to 1 of the same ceiling, trained the same way (the test part is
read for these alone); then ceilings in milliseconds and MACs on the same run, in an order of the seed. Rows are kept
in KEEP/rows.jsonl as they come; a seed that has its row is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import RESULTS, read_rows, write

from vitas_hw.core import SILENT, Budget, append_line
from vitas_hw.runs import Run, load_run_data, load_run_predictor, load_run_supernet
from vitas_hw.runs.artifacts import read_training, run_depth_shares
from vitas_hw.runs.directory import DEFAULT_SPACE
from vitas_hw.searching import Admission, Costs
from vitas_hw.searching.result import candidate_of
from vitas_hw.supernet import load_model
from vitas_hw.training import accuracy, subnet_accuracy
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.finetune import Finetuning
from vitas_hw.workflows.search.search import default_budget, search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.checkup import alike
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

RANDOM = 5
CEILINGS = tuple({"latency": f"{ms}ms"} for ms in (0.25, 0.5, 1, 2, 4, 8)) + tuple(
    {"flops": f"{m}M"} for m in (10, 20, 40)
)
GOALS = {"ties": 0.3, "search_s": 20.0, "used": 0.8}


def by_depth(run: Run) -> list[dict[str, Any]]:
    """Mean loss of subnets alike but for their depth, and each pair of depths where the deeper one is worse."""
    supernet, space = load_run_supernet(run).eval(), run.space(None)
    split = load_run_data(run, space).search
    named = alike(space, run_depth_shares(run), np.random.default_rng(7))["depth"]
    losses = {
        name: np.mean(
            [subnet_accuracy(supernet, space.decode(code), split, space.layers(code)).losses for code in codes], axis=0
        )
        for name, codes in named.items()
    }
    rows = [{"depth": name, "loss": round(float(found.mean()), 5)} for name, found in losses.items()]
    for (_, shallow), (row, deep) in combinations(zip(rows, losses.values(), strict=True), 2):
        rise = deep - shallow
        error = float(rise.std(ddof=1) / np.sqrt(len(rise)))
        row["rise_in_errors"] = round(max(row.get("rise_in_errors", -99.0), float(rise.mean()) / error), 2)
    return rows


def random_beside(run: Run, budget: Budget, seed: int) -> list[dict[str, Any]]:
    """Five random subnets near the ceiling, with the fine-tuning that the choice got."""
    space = run.space(None)
    predictor, _ = load_run_predictor(run)
    draws = Admission(Costs(space, predictor, 0.5), budget).draw(RANDOM, np.random.default_rng(seed))
    supernet, data = load_run_supernet(run), load_run_data(run, space)
    rows = []
    for code in draws:
        candidate = candidate_of(space, code)
        tuned = Finetuning(supernet, data, seed, SILENT).best_of([candidate], {})
        rows.append(
            {
                "digest": candidate.subnet.digest,
                "search_loss": round(tuned.loss, 5),
                "test_top1": accuracy(tuned.model, data.test).top1,
            }
        )
    return rows


def searched(run: Run, budget: Budget, settings: SearchSettings, *, fresh: bool = False) -> dict[str, Any]:
    started = time.perf_counter()
    result = search_run(run, budget, settings, fresh=fresh)
    wall = time.perf_counter() - started
    digest = result.choice.subnet.digest
    cost = {"latency_ms": result.measured_ms.get(digest), "macs": result.choice.subnet.macs}
    ((axis, bounds),) = ((name, one) for name, one in budget.to_dict().items() if one)
    high = bounds[1]
    return {
        "budget": str(budget),
        "axis": axis,
        "ceiling": high,
        "choice": digest,
        "search_loss": result.final_loss,
        "search_top1": result.final_top1,
        "used": round(cost[axis] / high, 4) if cost.get(axis) else None,
        "candidates": len(result.candidates),
        "known": result.known,
        "ties": round((len(result.ties) - 1) / max(len(result.candidates) - 1, 1), 4),
        "rounds": len(result.rounds),
        "outside": sum(len(one.violations) for one in result.rounds),
        "search_s": round(wall, 1),
    }


def worse_with_more(rows: list[dict[str, Any]]) -> list[str]:
    """Choices that are worse than one that a smaller ceiling of the same kind had got before."""
    return [
        f"{later['budget']}: {later['search_loss']:.4f}, {earlier['budget']} had {earlier['search_loss']:.4f}"
        for earlier, later in combinations(rows, 2)
        if earlier["axis"] == later["axis"]
        and later["ceiling"] >= earlier["ceiling"]
        and later["search_loss"] > earlier["search_loss"] + 1e-6
    ]


def study(run: Run, seed: int, budget: Budget) -> dict[str, Any]:
    started = time.perf_counter()
    train(run, replace(TrainSettings(seed=seed), budget=budget), fresh=True)
    train_s = time.perf_counter() - started
    training = read_training(run) or {}
    first = searched(run, budget, SearchSettings(seed=seed), fresh=True)
    space = run.space(None)
    data = load_run_data(run, space)
    choice_top1 = accuracy(load_model(run.choice)[0], data.test).top1
    depths, random = by_depth(run), random_beside(run, budget, seed)
    order = np.random.default_rng(seed).permutation(len(CEILINGS))
    more = [searched(run, Budget.parse(**CEILINGS[place]), SearchSettings(seed=seed)) for place in order]
    mean = float(np.mean([row["test_top1"] for row in random]))
    return {
        "seed": seed,
        "train_s": round(train_s, 1),
        "trained_top1": training.get("top1"),
        "block_shares": training.get("block_shares"),
        "depth_shares": training.get("depth_shares"),
        "by_depth": depths,
        "search": first,
        "choice_test_top1": choice_top1,
        "random": random,
        "random_mean_test_top1": round(mean, 5),
        "ceilings": more,
        "worse_with_more": worse_with_more([first, *more]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, help="to keep the run and the rows in, and go on from")
    parser.add_argument("--output", type=Path, default=RESULTS / "digits.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        run, kept = Run(folder / "run"), folder / "rows.jsonl"
        profiled = profile(run, ProfileSettings(), space=DEFAULT_SPACE)
        budget = default_budget(profiled.profile.space, profiled.predictor)
        for seed in given.seeds:
            if not any(row["seed"] == seed for row in read_rows(kept)):
                append_line(kept, study(run, seed, budget))
                print(json.dumps(read_rows(kept)[-1]), flush=True)
        rows = read_rows(kept)
    write(given.output, {"goals": GOALS, "budget": str(budget), "rows": rows}, {}, load)
    for row in rows:
        rises = [one["rise_in_errors"] for one in row["by_depth"][1:]]
        searches = [row["search"], *row["ceilings"]]
        print(
            f"seed {row['seed']}: depth's largest rise {max(rises):+.1f} standard errors; ties"
            f" {row['search']['ties']:.0%}; choice {row['choice_test_top1']:.2%} against"
            f" {row['random_mean_test_top1']:.2%} of random ones (test); used {[one['used'] for one in searches]};"
            f" searches {[one['search_s'] for one in searches]} s; worse with more: {row['worse_with_more']}"
        )


if __name__ == "__main__":
    main()
