"""Everything that the study shows, from its rows: ``run_study.py report`` prints it and writes ``report.json``.

Until ``finish`` has read the test part, top-1 is that on the search part and says so; it chose some of the nets, and
the decision is not taken on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pays_latency
import pays_statistics as statistics
import rank_statistics as ranks
import run_study
from pays_nets import CEILINGS
from pays_regime import GATE, GATE_CEILING

from vitas_hw.core import write_atomic

Rows = Sequence[Mapping[str, Any]]
Scores = Mapping[tuple[str, int], float]  # (digest, seed): top-1
RANK_SEEDS = (0, 1)


def scores(rows: Rows, test: Path) -> tuple[str, Scores]:
    """The part that is shown, and top-1 there."""
    if not test.exists():
        return "search part; the test part is sealed", run_study.on_search(rows)
    top1 = json.loads(test.read_text())["top1"]
    return "test part", {(row["digest"], row["seed"]): top1[row["sealed"]] for row in rows}


def arms(ceiling: str, rows: Rows, found: Scores) -> dict[str, list[float]]:
    """Top-1 of each arm but ours at a ceiling: of every net that is there."""

    def of(net: Any, seeds: int) -> list[float]:
        keys = [(net.subnet.digest, seed) for seed in range(seeds)] if net else []
        return [found[key] for key in keys if key in found]

    each = {f"by hand, {net.why}": of(net, 1) for net in run_study.nets("by hand", ceiling)}
    each["by hand"] = of(run_study.best("by hand", ceiling, rows), run_study.SEEDS["best by hand"])
    each["random"] = [value for net in run_study.nets("random", ceiling) for value in of(net, 1)]
    each["best random"] = of(run_study.best("random", ceiling, rows), run_study.SEEDS["random"])
    for net in run_study.nets("largest", ceiling):
        each[f"largest by {net.why}"] = of(net, run_study.SEEDS["largest"])
    each["line"] = of(run_study.line(ceiling, rows), run_study.SEEDS["line"])
    return each


def ours(searches: Rows, found: Scores) -> dict[tuple[str, int], list[float]]:
    """Top-1 of our choices by (ceiling, supernet seed)."""
    cells = {}
    for row in searches:
        keys = [(row["digest"], seed) for seed in range(run_study.SEEDS["ours"])] if row["kind"] == "search" else []
        if keys and all(key in found for key in keys):
            cells[row["ceiling"], row["seed"]] = [found[key] for key in keys]
    return cells


def analyse(rows: Rows, searches: Rows, pilots: Rows, test: Path) -> dict[str, Any]:
    part, found = scores(rows, test)
    by_ceiling = {ceiling: arms(ceiling, rows, found) for ceiling in CEILINGS}
    mine = ours(searches, found)
    against: dict[str, Any] = {}
    for arm in dict.fromkeys(arm for each in by_ceiling.values() for arm in each if not arm.startswith("by hand,")):
        others = {ceiling: each[arm] for ceiling, each in by_ceiling.items() if each[arm]}
        against[arm] = statistics.compare(mine, others)
    random = {ceiling: each["random"] for ceiling, each in by_ceiling.items() if each["random"]}
    decided = statistics.decision(against["random"], against["by hand"])
    if not test.exists():
        decided = {"claim": None, "goal": None, "why": "the test part has not been read"}
    return {
        "part": part,
        "arms": {
            ceiling: {arm: _shown(values) for arm, values in each.items()} for ceiling, each in by_ceiling.items()
        },
        "ours": {f"{ceiling}, supernet {seed}": _shown(values) for (ceiling, seed), values in mine.items()},
        "ours_less": against,
        "ours_percentile_of_random": statistics.percentile(mine, random),
        "decision": decided,
        "by_latency": pays_latency.compare(searches, found),
        "rank": rank(searches, found),
        "gate": gate(pilots),
        "missing": len(run_study.missing(rows, searches)),
        "cpu_hours": round(sum(row["cpu_s"] for row in [*rows, *searches, *pilots]) / 3600, 2),
    }


def gate(pilots: Rows) -> dict[str, Any]:
    """Whether the pilot's best net on the search part reaches what the study needs."""
    tops = {row["pilot"]: row["search"]["top1"] for row in pilots if row["ceiling"] == GATE_CEILING}
    return {"needed": GATE, "pilots": tops, "reached": bool(tops) and max(tops.values()) >= GATE}


def rank(searches: Rows, found: Scores) -> dict[str, Any] | None:
    """Supernets' and cheap orders of the rank study's nets against their own trainings; None below three nets."""
    every = [net for net in run_study.drawn() if net.arm in ("random", "smaller")]
    nets = {net.subnet.digest: net.subnet for net in every}
    known = [digest for digest in nets if all((digest, seed) in found for seed in RANK_SEEDS)]
    if len(known) < 3:
        return None
    seeds = np.array([[found[digest, seed] for digest in known] for seed in RANK_SEEDS])
    truth, subnets = seeds.mean(axis=0), [nets[digest] for digest in known]
    patches = [subnet.patch_size for subnet in subnets]
    times = ranks.draws(len(known))
    orders = {"one seed against the other": (seeds[0], seeds[1])}
    orders |= {name: (truth, score) for name, score in cheap_orders(subnets, truth).items()}
    for row in (row for row in searches if row["kind"] == "scores"):
        # lower loss is better
        score = np.array([-row["scores"][digest]["loss"] for digest in known])
        orders[f"{row['scheme']}, seed {row['seed']}"] = (truth, score)
    result = {
        name: {
            "tau": ranks.estimate(ranks.kendall(one, other, times)),
            "tau_within_patch": ranks.estimate(ranks.kendall_within(one, other, patches, times)),
            "lost_top1": ranks.estimate(ranks.lost(one, other, times)),
        }
        for name, (one, other) in orders.items()
    }
    return {"nets": len(known), "of": len(nets), "orders": result}


def cheap_orders(subnets: Sequence[Any], truth: Any) -> dict[str, Any]:
    """Scores without a supernet; the fit is to the truth of all other nets."""
    patch, embed, macs, params = (
        np.array([getattr(subnet, name) for subnet in subnets], float)
        for name in ("patch_size", "embed_dim", "macs", "params")
    )
    features = np.column_stack([patch == 4, patch == 7, np.log(macs), embed]).astype(float)
    fit = ranks.leave_one_out(features, truth)
    return {"MACs": macs, "parameters": params, "width": embed, "fit to the others": fit}


def _shown(values: Sequence[float]) -> dict[str, Any]:
    return {"nets": len(values), "mean": round(float(np.mean(values)), 5) if values else None, "each": list(values)}


def report(rows: Rows, searches: Rows, pilots: Rows, test: Path, path: Path) -> dict[str, Any]:
    """Print and keep it."""
    result = analyse(rows, searches, pilots, test)
    print(f"top-1 on the {result['part']}; {result['missing']} missing; {result['cpu_hours']} hours on the CPU so far")
    print(f"gate: {result['gate']}")
    for ceiling, each in result["arms"].items():
        for arm, one in each.items():
            mean = "" if one["mean"] is None else f"{100 * one['mean']:.2f}"
            print(f"{ceiling:>4}  {arm:<28} {mean:>6}  {one['nets']} trainings")
    for cell, one in result["ours"].items():
        print(f"ours {cell}: {100 * one['mean']:.2f}")
    for arm, one in result["ours_less"].items():
        print(f"ours less {arm}: {one}")
    print(f"decision: {result['decision']}")
    for one in result["by_latency"]:
        print(f"by latency: {one}")
    for order, one in (result["rank"] or {"orders": {}})["orders"].items():
        print(f"rank: {order}: {one}")
    write_atomic(path, json.dumps(result, indent=1) + "\n")
    return result
