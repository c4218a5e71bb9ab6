"""The report of the rank study: how far a supernet's order of subnets is that of training them alone.

    python benchmarks/rank_study.py report    # calls ``report``; writes results/rank_study.json and rank_study.png

Truth is the mean over seeds of a subnet's stand-alone top-1 on the test part. A supernet's score is inherited top-1 on
the search part; with the test part it is reported second. Correlations are taken for each seed and then averaged;
intervals come from resampling subnets, the same resamples for all, so that differences are paired. Rows may be missing:
what is there is used, and how much that is stands in the report.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rank_statistics as ranks
import rank_study
from bench_tools import RESULTS, Floats, write
from rank_plot import Panel, plot

Rows = Sequence[Mapping[str, Any]]
STATISTICS = ("tau", "tau_within_patch", "spearman", "lost_top1")
GAP = "inherited_minus_alone"
ON_TEST = ", on test"
CEILING = "one seed alone against the other"


@dataclass(frozen=True)
class Subnets:
    """What is known of the subnets without training them: (subnets,) each."""

    digests: tuple[str, ...]
    patch_size: Floats
    embed_dim: Floats
    macs: Floats
    params: Floats

    def chosen(self, which: Any) -> Subnets:
        parts = (self.patch_size, self.embed_dim, self.macs, self.params)
        return Subnets(tuple(np.array(self.digests)[which].tolist()), *(part[which] for part in parts))


def the_subnets() -> Subnets:
    from vitas_hw.searching import Costs

    found = rank_study.subnets()
    costs = Costs(rank_study.SPACE).of(np.array([rank_study.SPACE.encode(subnet) for subnet in found]))
    patches, widths = (np.array([getattr(s, key) for s in found], float) for key in ("patch_size", "embed_dim"))
    return Subnets(tuple(subnet.digest for subnet in found), patches, widths, costs["macs"], costs["params"])


def alone(rows: Rows, digests: Sequence[str]) -> Floats:
    """(seeds, subnets) stand-alone top-1 on the test part; nan where it is missing."""
    found = {(row["name"], row["seed"]): row["top1"]["test"] for row in rows if row["kind"] == "alone"}
    return np.array([[found.get((digest, seed), np.nan) for digest in digests] for seed in rank_study.ALONE_SEEDS])


def inherited(rows: Rows, name: str, part: str, digests: Sequence[str]) -> dict[int, Floats]:
    """By seed: (subnets,) inherited top-1."""
    mine = (row for row in rows if row["kind"] == "supernet" and row["name"] == name)
    found = {row["seed"]: np.array([row["top1"][digest][part] for digest in digests]) for row in mine}
    return dict(sorted(found.items()))


def cheap_orders(subnets: Subnets, truth: Floats) -> dict[str, Floats]:
    """Scores without a supernet.

    Of patch sizes the one with the better mean truth comes first: as good as an order by patch size alone can be. The
    fit is to the truth of all other subnets.
    """
    one_hot = (subnets.patch_size[:, None] == np.unique(subnets.patch_size)).astype(np.float64)
    features = np.column_stack([one_hot, np.log(subnets.macs), subnets.embed_dim])
    return {
        "MACs": subnets.macs,
        "parameters": subnets.params,
        "patch size": one_hot @ (truth @ one_hot / one_hot.sum(axis=0)),
        "embed_dim": subnets.embed_dim,
        "fit to the others": ranks.leave_one_out(features, truth),
    }


def statistics(truth: Floats, scores: Sequence[Floats], patches: Floats, times: Floats) -> Floats:
    """(scores, STATISTICS, 1 + resamples); a score a seed, for resamples see ``rank_statistics.draws``."""
    groups = patches.tolist()
    each = [
        (
            ranks.kendall(truth, score, times),
            ranks.kendall_within(truth, score, groups, times),
            ranks.spearman(truth, score),
            ranks.lost(truth, score, times),
        )
        for score in scores
    ]
    return np.array(each)


def analyse(rows: Rows, subnets: Subnets) -> dict[str, Any]:
    """Everything but the plot. Subnets that were not trained alone yet are left out."""
    everything = alone(rows, subnets.digests)
    known = ~np.isnan(everything).all(axis=0)
    names = [*rank_study.VARIANTS, *rank_study.ABLATIONS]
    counts = {f"alone, seed {s}": [int((~np.isnan(e)).sum()), len(e)] for s, e in enumerate(everything)}
    counts |= {name: [len(inherited(rows, name, "test", ())), len(rank_study.SUPERNET_SEEDS)] for name in names}
    result: dict[str, Any] = {"there_of": counts, "orders": {}, "differences": {}}
    if known.sum() < 3:
        return result
    subnets, seeds = subnets.chosen(known), everything[:, known]
    truth, times = np.nanmean(seeds, axis=0), ranks.draws(int(known.sum()))
    found: dict[str, Floats] = {}
    for name in names:
        for part, suffix in (("search", ""), ("test", ON_TEST)):
            scores = inherited(rows, name, part, subnets.digests)
            if scores:
                found[name + suffix] = statistics(truth, [*scores.values()], subnets.patch_size, times)
    for name, score in cheap_orders(subnets, truth).items():
        found[name] = statistics(truth, [score], subnets.patch_size, times)
    both = ~np.isnan(seeds).any(axis=0)
    if both.sum() >= 3:
        times = ranks.draws(int(both.sum()))
        found[CEILING] = statistics(seeds[0, both], [seeds[1, both]], subnets.patch_size[both], times)
    for name, values in found.items():
        row = estimates(values.mean(axis=0))
        if name.removesuffix(ON_TEST) in names:
            row["seeds"] = {key: values[:, number, 0].round(4).tolist() for number, key in enumerate(STATISTICS)}
        if name.endswith(ON_TEST):
            scores = inherited(rows, name.removesuffix(ON_TEST), "test", subnets.digests)
            gaps = [round(float((score - truth).mean()), 4) for score in scores.values()]
            row[GAP] = {"mean": round(float(np.mean(gaps)), 4), "seeds": gaps}
        result["orders"][name] = row
    for name, other in pairs():
        if name in found and other in found:
            difference = found[name].mean(axis=0) - found[other].mean(axis=0)
            result["differences"][f"{name} - {other}"] = estimates(difference)
    spread = {"min": truth.min(), "median": np.median(truth), "max": truth.max(), "std": truth.std()}
    return result | {"stand_alone_top1": {key: round(float(value), 4) for key, value in spread.items()}}


def estimates(values: Floats) -> dict[str, Any]:
    return {key: ranks.estimate(one) for key, one in zip(STATISTICS, values, strict=True)}


def pairs() -> list[tuple[str, str]]:
    """What is compared: schemes with each other and with cheap orders, ablations with the scheme they change."""
    schemes = [*rank_study.VARIANTS]
    found = [(a, b) for index, b in enumerate(schemes) for a in schemes[index + 1 :]]
    found += [(name, rank_study.ABLATED) for name in rank_study.ABLATIONS]
    return found + [(name, cheap) for name in schemes for cheap in ("MACs", "patch size", "fit to the others")]


def panels(rows: Rows, subnets: Subnets, result: dict[str, Any]) -> list[Panel]:
    """One of each supernet there is: its score, the mean over seeds, over the truth."""
    seeds = alone(rows, subnets.digests)
    known = ~np.isnan(seeds).all(axis=0)
    truth = np.full(len(known), np.nan)
    truth[known] = np.nanmean(seeds[:, known], axis=0)
    found = []
    for name in (name for name in result["there_of"] if name in result["orders"]):
        row = result["orders"][name]
        within = row["tau_within_patch"]["value"]
        said = "" if within is None else f", within a patch size {within:.2f}"
        scores = [*inherited(rows, name, "search", subnets.digests).values()]
        found.append(Panel(f"{name}\nτ {row['tau']['value']:.2f}{said}", truth, np.mean(scores, axis=0)))
    return found


def show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=160)
    console.print("there: " + "; ".join(f"{name} {n} of {of}" for name, (n, of) in result["there_of"].items()))
    console.print(f"stand-alone top-1 of the subnets: {result.get('stand_alone_top1')}")
    for title in ("orders", "differences"):
        gaps = ["inherited - alone"] if title == "orders" else []
        table = Table("", *STATISTICS, *gaps, title=title)
        for name, row in result[title].items():
            cells = [shown(row[key]) for key in STATISTICS]
            table.add_row(name, *cells, *[f"{row[GAP]['mean']:+.3f}" if GAP in row else "" for _ in gaps])
        console.print(table)


def shown(one: dict[str, Any]) -> str:
    if one["value"] is None:
        return "-"
    low, high = one["interval_95"]
    return f"{one['value']:.3f} ({low:.3f}, {high:.3f})"


def report(rows: Rows, folder: Path = RESULTS, study: rank_study.Study = rank_study.CPU) -> dict[str, Any]:
    """Print the tables, write a JSON and a PNG of the study's name."""
    load, subnets = os.getloadavg()[0], the_subnets()
    result = analyse(rows, subnets)
    settings = {
        "space": rank_study.SPACE.to_dict(),
        "subnets": rank_study.SUBNETS,
        "images": study.images or max((row["images"] for row in rows), default=None),
        "epochs": {"alone": study.alone_epochs, "supernet": study.supernet_epochs},
        "seconds_of_training": round(sum(row["seconds"] for row in rows), 1),
    }
    write(folder / f"{study.name}.json", result, settings, load)
    plot(panels(rows, subnets, result), subnets.patch_size, folder / f"{study.name}.png")
    show(result)
    return result
