"""What searching the identity probability brings (ViTAS section 3.4): samples inside the budget, and accuracy.

    python benchmarks/identity_probability.py samples                # seconds
    python benchmarks/identity_probability.py train [--workers 2]    # what is missing; may be stopped and repeated
    python benchmarks/identity_probability.py report                 # samples again, then accuracy from the rows there

Samples: the share of 10,000 random subnets inside a budget, at p = 0.5 and at the probability found for the budget.
Accuracy: Fashion-MNIST with space, images and recipe of ``rank_study.py``. Supernets are trained with p = 0.5 and with
the p found for each of two budgets, one below and one above what p = 0.5 gives on average, each admitting about a tenth
of random subnets (a bare ceiling that so few meet lies below every mean: no p is found for it). Thirty subnets inside
the budget, half drawn with either p, are then scored with inherited weights.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rank_study
from bench_tools import RESULTS, Floats, bootstrap, identity_codes, read_rows, run_missing, write

import vitas_hw as vh
from vitas_hw.core import identity_depths
from vitas_hw.searching import Costs
from vitas_hw.searching.depth_shares import depth_shares

ROWS = RESULTS / "identity_probability.jsonl"
USUAL = 0.5
SAMPLES = 10_000
PREDICTOR = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"
TINY = [{"flops": text} for text in ("0.9G-1G", "1.17G-1.3G", "1.3G", "0.5G")]  # the first is the paper's 1G run
DIGITS = [{"latency": text} for text in ("1ms", "2ms", "4ms")] + [{"flops": text} for text in ("40M", "80M", "150M")]
FASHION = [{"flops": text} for text in ("400K-600K", "1.2M-1.8M")]  # those of the accuracies
SUBNETS, SEEDS = 30, (0, 1, 2)


@dataclass(frozen=True)
class Job:
    """A supernet to train."""

    p: float
    seed: int
    epochs: int
    images: int


def all_costs() -> list[tuple[Costs, list[dict[str, str]]]]:
    predictor = vh.load_predictor(PREDICTOR)
    return [
        (Costs(vh.load_space("vitas-deit-tiny")), TINY),
        (Costs(predictor.space, predictor), DIGITS),
        (Costs(rank_study.SPACE), FASHION),
    ]


def found_p(costs: Costs, budget: vh.Budget) -> float:
    found = depth_shares(costs, budget, how="identity", seed=0).identity
    assert found is not None
    return found


def samples() -> list[dict[str, Any]]:
    """Of each budget: the p found, the seconds it took, and what random subnets are like with either p."""
    found = []
    for costs, texts in all_costs():
        for text in texts:
            budget = vh.Budget.parse(**text)
            (cost,), (written,) = budget.asked, text.values()
            start = time.perf_counter()
            p = found_p(costs, budget)
            seconds = time.perf_counter() - start
            row: dict[str, Any] = {"space": costs.space.name, "cost": cost, "budget": written, "p": p}
            row["seconds"] = round(seconds, 3)
            for name, used in (("usual", USUAL), ("found", p)):
                codes = identity_codes(costs.space, SAMPLES, np.random.default_rng(1), used)
                values = costs.of(codes)[cost]
                inside = (costs.excess(codes, budget) <= 0).mean()
                error = np.sqrt(inside * (1 - inside) / SAMPLES)
                row[name] = {"mean": float(values.mean()), "share": float(inside), "standard_error": float(error)}
                row[name]["depth"] = float(costs.space.depths(codes).mean())
            found.append(row)
    return found


def show_samples(found: list[dict[str, Any]]) -> None:
    print(f"{'space':16}{'budget':>20}{'p':>8}{'seconds':>9}  mean at 0.5 and p        inside at 0.5 and p")
    for row in found:
        usual, new, unit = row["usual"], row["found"], {"latency_ms": 1.0, "macs": 1e6}[row["cost"]]
        budget = f"{row['cost']} {row['budget']}"
        means = f"{usual['mean'] / unit:13.4g}{new['mean'] / unit:12.4g}"
        print(
            f"{row['space']:16}{budget:>20}{row['p']:8.4f}{row['seconds']:9.2f}{means}"
            f"{usual['share']:16.2%}{new['share']:9.2%}"
        )


def probabilities() -> dict[str, float]:
    """The p found for each budget of the accuracies."""
    costs = Costs(rank_study.SPACE)
    return {text["flops"]: found_p(costs, vh.Budget.parse(**text)) for text in FASHION}


def subnets(text: str, p: float) -> list[vh.Subnet]:
    """Different subnets inside the budget, the first half drawn with p = 0.5, the others with ``p``."""
    costs, budget, rng = Costs(rank_study.SPACE), vh.Budget.parse(flops=text), np.random.default_rng(2021)
    chosen: dict[vh.Subnet, None] = {}
    for used, until in ((USUAL, SUBNETS // 2), (p, SUBNETS)):
        while len(chosen) < until:
            codes = identity_codes(costs.space, 100, rng, used)
            for code in codes[costs.excess(codes, budget) <= 0][: until - len(chosen)]:
                chosen.setdefault(costs.space.decode(code))
    return list(chosen)


def run(job: Job) -> dict[str, Any]:
    """Train a supernet on one thread; its row has the inherited top-1 of the subnets of its budgets."""
    import torch

    from vitas_hw.training import SupernetObjective, Training, subnet_accuracy

    torch.set_num_threads(1)
    started = time.perf_counter()
    images, how = rank_study.data(), rank_study.recipe(job.epochs)
    train = images.train.subset(list(range(job.images)))
    supernet = vh.build_supernet(rank_study.SPACE, seed=job.seed)
    history = Training(
        SupernetObjective(supernet, how, depths=identity_depths(rank_study.SPACE, job.p)),
        train,
        how,
        seed=job.seed,
        num_classes=10,
    ).run()
    assert history is not None
    of_budget = {text: p for text, p in probabilities().items() if job.p in (USUAL, p)}
    scored = {subnet for text, p in of_budget.items() for subnet in subnets(text, p)}
    top1 = {
        subnet.digest: {
            part: subnet_accuracy(supernet, subnet, getattr(images, part)).top1 for part in ("search", "test")
        }
        for subnet in sorted(scored, key=lambda subnet: subnet.digest)
    }
    losses = [round(loss, 4) for loss in history]
    return asdict(job) | {"top1": top1, "losses": losses, "seconds": round(time.perf_counter() - started, 1)}


def accuracy(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each budget: found p against p = 0.5, over the seeds that both were trained with."""
    found: dict[str, Any] = {}
    for text, p in probabilities().items():
        tops = {used: {row["seed"]: row["top1"] for row in rows if row["p"] == used} for used in (USUAL, p)}
        seeds = sorted(set(tops[USUAL]) & set(tops[p]))
        found[text] = {"p": p, "seeds": seeds, "of_seeds": len(SEEDS)}
        if seeds:
            digests = [subnet.digest for subnet in subnets(text, p)]
            usual, new = (table(tops[used], seeds, digests) for used in (USUAL, p))
            found[text] |= compared(usual, new)
    return found


def table(tops: dict[int, Any], seeds: list[int], digests: list[str]) -> dict[str, Floats]:
    """(seeds, subnets) top-1 on each part."""
    return {
        part: np.array([[tops[s][digest][part] for digest in digests] for s in seeds]) for part in ("search", "test")
    }


def compared(usual: dict[str, Floats], new: dict[str, Floats]) -> dict[str, Any]:
    difference = (new["test"] - usual["test"]).mean(axis=0)
    half = len(difference) // 2
    groups = {"all": slice(None), "drawn_with_usual_p": slice(half), "drawn_with_found_p": slice(half, None)}
    result: dict[str, Any] = {
        name: {
            "usual": float(usual["test"][:, group].mean()),
            "found": float(new["test"][:, group].mean()),
            "difference": float(difference[group].mean()),
            "difference_95": bootstrap(difference[group].tolist()),
        }
        for name, group in groups.items()
    }
    result["difference_of_each_seed"] = (new["test"] - usual["test"]).mean(axis=1).round(5).tolist()
    for name, one in (("usual", usual), ("found", new)):
        favourites = one["search"].argmax(axis=1)
        result.setdefault("test_top1_of_the_best_on_search", {})[name] = (
            one["test"][np.arange(len(favourites)), favourites].round(5).tolist()
        )
    return result


def report(rows: list[dict[str, Any]], settings: dict[str, Any], output: Path) -> None:
    load = os.getloadavg()[0]
    drawn, found = samples(), accuracy(rows)
    show_samples(drawn)
    for text, one in found.items():
        print(f"\nFashion-MNIST, {text} MACs, p {one['p']}: {len(one['seeds'])} of {one['of_seeds']} seeds trained")
        for key, value in one.items():
            if key not in ("p", "seeds", "of_seeds"):
                print(f"  {key:34}{value}")
    trained = [{key: row[key] for key in ("p", "seed", "seconds")} for row in rows]
    write(output, {"samples": drawn, "accuracy": found, "trained": trained}, settings, load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["samples", "train", "report"])
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--epochs", type=int, default=rank_study.CPU.supernet_epochs)
    parser.add_argument("--images", type=int, default=rank_study.CPU.images)
    parser.add_argument("--rows", type=Path, default=ROWS, help="one line a supernet; the report lies beside it")
    given = parser.parse_args()
    sizes = {"epochs": given.epochs, "images": given.images}
    if given.step == "samples":
        show_samples(samples())
    elif given.step == "train":
        ps = [USUAL, *probabilities().values()]
        run_missing([Job(p, seed, **sizes) for seed in SEEDS for p in ps], run, given.rows, given.workers)
    else:
        rows = [row for row in read_rows(given.rows) if sizes.items() <= row.items()]
        report(rows, sizes | {"samples": SAMPLES, "subnets": SUBNETS}, given.rows.with_suffix(".json"))


if __name__ == "__main__":
    main()
