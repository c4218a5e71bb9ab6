"""Does the search keep its promise?

    python benchmarks/search.py truth [--small]     # against every subnet of a space, evaluated once
    python benchmarks/search.py truth --fashion --epochs 15 --table results/search_fashion.jsonl
    python benchmarks/search.py overhead            # the search's own time; a million candidates screened

*truth*: all subnets of a space of digits are evaluated with one supernet (trained here, once) and kept in
``results/search_table.jsonl``. Under five ceilings on MACs and ten seeds each, every optimizer looks for the best; what
counts is how many evaluations it needs until it holds one of the best 0.5% by rank of what the ceiling admits, and how
far from the optimum it is after the default search's evaluations. The surrogate was tuned on seeds from 1000 on.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import RESULTS, spread, write
from search_stock import stock_scores
from search_table import FASHION, SMALL, SPACE, Floats, Table, as_score, load_table

import vitas_hw as vh
from vitas_hw.core import Budget, Range
from vitas_hw.searching import GENERATIONS, POPULATION, Admission, Costs, make_optimizer
from vitas_hw.searching.engine import Evaluations, Job, explore
from vitas_hw.searching.optimizers.registry import OPTIMIZERS, PRESETS
from vitas_hw.searching.scores import Score

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the space's MACs: the ceilings
SEEDS = 10
TIMED = 30  # evaluations, for the overhead's share
SHARE = 0.005
EVALUATIONS = POPULATION * GENERATIONS
PAPERS = PRESETS["paper"][1] * PRESETS["paper"][2]
METHODS = (*OPTIMIZERS, "paper", "pymoo-stock")


def scores(table: Table, method: str, budget: Budget, seed: int, limit: int) -> list[float]:
    """Top-1 of each evaluation in order."""
    if method == "pymoo-stock":
        return stock_scores(table, budget, seed, limit)
    costs = Costs(table.space)
    name, population, _ = PRESETS.get(method, (method, POPULATION, GENERATIONS))
    generations = -(-limit // population)
    optimizer = make_optimizer(
        name, Admission(costs, budget), population=population, generations=generations, seed=seed
    )
    found = explore(optimizer, Evaluations(table.evaluate), costs, limit)
    return [candidate.top1 or 0.0 for candidate in found]


def until_good(found: Sequence[float], admitted: Floats) -> int | None:
    """Evaluations until one of the best 0.5% by rank is held; None if it never is."""
    count = max(1, int(len(admitted) * SHARE))
    good = np.flatnonzero(np.asarray(found) >= np.sort(admitted)[-count])
    return int(good[0]) + 1 if len(good) else None


def after(found: Sequence[float], admitted: Floats, evaluations: int) -> tuple[float, int]:
    """Regret in top-1, and rank (1 is the best), after so many evaluations."""
    best = max(found[:evaluations])
    return float(admitted.max() - best), int((admitted > best).sum()) + 1


def truth(table: Table, methods: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Every method under every ceiling and seed."""
    rows: list[dict[str, Any]] = []
    for quantile in QUANTILES:
        ceiling = float(np.quantile(table.macs, quantile))
        budget = Budget(macs=Range(None, ceiling))
        admitted = table.top1[table.macs <= ceiling]
        for method in methods:
            for seed in seeds:
                # random needs about 1 / SHARE; the others get as many, paper its own
                limit = PAPERS if method in ("random", "paper", "pymoo-stock") else 600
                found = scores(table, method, budget, seed, min(limit, len(admitted)))
                regret, rank = after(found, admitted, EVALUATIONS)
                row = {"quantile": quantile, "method": method, "seed": seed, "needed": until_good(found, admitted)}
                end = after(found, admitted, len(found))
                rows.append(row | {"regret": regret, "rank": rank, "end_regret": end[0], "evaluations": len(found)})
            print(quantile, method, _summary([r for r in rows if (r["quantile"], r["method"]) == (quantile, method)]))
    return {
        "subnets": len(table.codes),
        "optimum": float(table.top1.max()),
        "images": table.images,
        "standard_error_of_the_optimum": round(table.standard_error, 5),
        "subnets_within_it": int((table.top1 >= table.top1.max() - table.standard_error).sum()),
        "spread_of_top1": spread(table.top1.tolist()),
        "methods": {method: _summary([row for row in rows if row["method"] == method]) for method in methods},
        "rows": rows,
    }


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    needed = [np.inf if row["needed"] is None else row["needed"] for row in rows]
    return {
        "needed_median": float(np.median(needed)),
        "needed_mean": round(float(np.mean(needed)), 1),
        "never": sum(row["needed"] is None for row in rows),
        f"regret_after_{EVALUATIONS}": round(float(np.mean([row["regret"] for row in rows])), 5),
        f"rank_after_{EVALUATIONS}": round(float(np.mean([row["rank"] for row in rows])), 1),
        "worst_end_regret": round(max(row["end_regret"] for row in rows), 5),
    }


def overhead(evaluations: int = 1000, screened: int = 1_000_000) -> dict[str, Any]:
    """Seconds of a search of its own, and of screening, by MACs and by a predictor; on vitas-digits, one core.

    A share is of a run in which each evaluation takes as long as those of some of the subnets that it admits.
    """
    space = vh.load_space("vitas-digits")
    costs = Costs(space)
    ceiling = float(np.quantile(costs.of(space.sample_codes(4000, np.random.default_rng(0)))["macs"], 0.3))
    budget = Budget(macs=Range(None, ceiling))
    one_s = evaluation_s(Admission(costs, budget))
    found: dict[str, Any] = {"evaluations": evaluations, "evaluation_s": round(one_s, 4), "goal_share": 0.05}
    print(f"an evaluation takes {one_s:.3f} s", flush=True)
    for name in OPTIMIZERS:
        started = time.perf_counter()
        optimizer = make_optimizer(name, Admission(costs, budget), generations=-(-evaluations // POPULATION))
        explore(optimizer, Evaluations(_made_up), costs, evaluations)
        seconds = time.perf_counter() - started
        share = seconds / (seconds + evaluations * one_s)
        found[name] = {"seconds": round(seconds, 2), "share": round(share, 4)}
        print(name, found[name], flush=True)
    return found | {"screening": screening(screened)}


def evaluation_s(admission: Admission) -> float:
    """Mean seconds of an evaluation on the search split of digits, on one thread; weights do not matter for it."""
    import torch

    from vitas_hw.training import subnet_accuracy

    torch.set_num_threads(1)
    space = admission.space
    images: Any = vh.load_data("digits", space)
    supernet = vh.build_supernet(space, seed=0)
    subnets = [space.decode(code) for code in admission.draw(TIMED, np.random.default_rng(0))]
    subnet_accuracy(supernet, subnets[0], images.search)  # warm
    started = time.perf_counter()
    for subnet in subnets:
        subnet_accuracy(supernet, subnet, images.search)
    return (time.perf_counter() - started) / len(subnets)


def screening(count: int) -> dict[str, Any]:
    """Seconds that a million candidates take: drawn, priced by the first shipped predictor, held to each median."""
    from vitas_hw.predictors.shipped import shipped

    paths = sorted(shipped("predictors").glob("*.json"))
    predictor = vh.load_predictor(paths[0]) if paths else None
    space = predictor.space if predictor else vh.load_space("vitas-deit-tiny")
    costs, rng = Costs(space, predictor), np.random.default_rng(0)
    first = costs.of(space.sample_codes(1000, rng))
    ceilings = {name: float(np.median(costs_of)) for name, costs_of in first.items()}
    started, inside, size = time.perf_counter(), 0, 20_000
    for _ in range(count // size):
        priced = costs.of(space.sample_codes(size, rng))
        inside += int(np.all([priced[name] <= ceiling for name, ceiling in ceilings.items()], axis=0).sum())
    seconds = round(time.perf_counter() - started, 1)
    return {"candidates": count, "seconds": seconds, "inside": inside, "predictor": predictor and predictor.name}


def _made_up(jobs: Sequence[Job]) -> list[Score]:
    codes = [np.asarray(candidate.code) for candidate, _ in jobs]
    return [as_score(0.9 * float((code[2::3] > 0).mean()) + 0.01 * float(np.sin(code.sum()))) for code in codes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["truth", "overhead"])
    parser.add_argument("--small", action="store_true", help="a space of 2,336 subnets and few epochs, to try it")
    parser.add_argument("--fashion", action="store_true", help="the table of Fashion-MNIST's search part")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--table", type=Path, default=RESULTS / "search_table.jsonl")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first-seed", type=int, default=0, help="tune with other seeds than those reported")
    parser.add_argument("--output", type=Path, help="default: results/search_PART.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    if given.part == "overhead":
        result = overhead()
    else:
        table = load_table(FASHION if given.fashion else SMALL if given.small else SPACE, given.table, given.epochs)
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        result = truth(table, given.methods.split(","), seeds)
        for method, row in result["methods"].items():
            print(method, row)
    write(given.output or RESULTS / f"search_{given.part}.json", result, {"epochs": given.epochs}, load)


if __name__ == "__main__":
    main()
