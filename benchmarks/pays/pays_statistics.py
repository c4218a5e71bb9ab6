"""The statistics of the study: paired differences of arms at equal cost, their intervals, the decision.

A cell is a ceiling and a supernet's seed; its difference is the mean over our nets there, less the mean over the other
arm's nets at that ceiling. The cells are no independent draws: one supernet chooses at all ceilings, and one baseline
stands against all supernets. So the bootstrap draws ceilings and supernet seeds, crossed (Owen's pigeonhole bootstrap),
and within them the nets of either side. With so few of each it is coarse, which is why a t-interval over the cells
stands beside it and a claim needs both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Ours = Mapping[tuple[str, int], Sequence[float]]  # (ceiling, supernet seed): top-1 of each training
Others = Mapping[str, Sequence[float]]  # ceiling: top-1 of each net, or of each training of one
RESAMPLES = 4000
LEAST_OVER_HAND = 0.003  # top-1
GOAL_OVER_HAND = 0.010


def compare(ours: Ours, others: Others) -> dict[str, Any] | None:
    """Ours less the others: mean over cells, each cell, both 95% intervals; None where there is no cell of both."""
    cells = sorted(cell for cell in ours if cell[0] in others)
    if not cells:
        return None
    each = {cell: float(np.mean(ours[cell]) - np.mean(others[cell[0]])) for cell in cells}
    differences = np.array(list(each.values()))
    return {
        "mean": round(float(differences.mean()), 5),
        "cells": {f"{ceiling}, supernet {seed}": round(value, 5) for (ceiling, seed), value in each.items()},
        "bootstrap_95": _rounded(np.percentile(resampled(ours, others, cells), (2.5, 97.5))),
        "t_95": _rounded(t_interval(differences)),
    }


def resampled(ours: Ours, others: Others, cells: Sequence[tuple[str, int]]) -> Floats:
    """(at most RESAMPLES,) means over cells; resamples in which no cell was drawn are left out."""
    rng = np.random.default_rng(0)
    ceilings, seeds = (sorted({cell[axis] for cell in cells}) for axis in (0, 1))
    drawn_ceilings, drawn_seeds = (rng.integers(0, len(kinds), (RESAMPLES, len(kinds))) for kinds in (ceilings, seeds))
    total, count = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for place in range(len(ceilings)):
        base = np.array([_means_of_draws(others[ceiling], rng) for ceiling in ceilings])
        for other in range(len(seeds)):
            mine = np.full((len(ceilings), len(seeds), RESAMPLES), np.nan)
            for cell in cells:
                mine[ceilings.index(cell[0]), seeds.index(cell[1])] = _means_of_draws(ours[cell], rng)
            row = drawn_ceilings[:, place]
            found = mine[row, drawn_seeds[:, other], np.arange(RESAMPLES)] - base[row, np.arange(RESAMPLES)]
            total, count = total + np.nan_to_num(found), count + ~np.isnan(found)
    return total[count > 0] / count[count > 0]


def _means_of_draws(values: Sequence[float], rng: np.random.Generator) -> Floats:
    drawn: Floats = np.asarray(values)[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    return drawn


def t_interval(differences: Floats) -> tuple[float, float]:
    """Of their mean, 95%; without end if there is one only."""
    count = len(differences)
    if count < 2:
        return -np.inf, np.inf
    half = float(stats.t.ppf(0.975, count - 1)) * float(differences.std(ddof=1)) / count**0.5
    return float(differences.mean()) - half, float(differences.mean()) + half


def percentile(ours: Ours, others: Others) -> float | None:
    """Mean over cells of the share of the other nets that ours is better than; ties count half."""
    shares = [
        float(np.mean([(mine > one) + 0.5 * (mine == one) for one in others[ceiling]]))
        for (ceiling, _), values in ours.items()
        if ceiling in others
        for mine in [float(np.mean(values))]
    ]
    return round(float(np.mean(shares)), 4) if shares else None


def decision(over_random: Mapping[str, Any] | None, over_hand: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the protocol allows to claim."""
    if over_random is None or over_hand is None:
        return {"claim": None, "goal": None, "why": "nets are missing"}
    checks = {
        "above the mean random net": over_random["mean"] > 0,
        f"{100 * LEAST_OVER_HAND:g} points above by hand": over_hand["mean"] >= LEAST_OVER_HAND,
        "intervals over random above 0": min(over_random["bootstrap_95"][0], over_random["t_95"][0]) > 0,
        "intervals over by hand above 0": min(over_hand["bootstrap_95"][0], over_hand["t_95"][0]) > 0,
    }
    missed = [what for what, holds in checks.items() if not holds]
    goal = not missed and over_hand["mean"] >= GOAL_OVER_HAND
    return {
        "claim": not missed,
        "goal": goal,
        "why": f"not {', not '.join(missed)}" if missed else "all conditions hold",
    }


def _rounded(bounds: Sequence[float] | Floats) -> list[float | None]:
    return [round(float(bound), 5) if np.isfinite(bound) else None for bound in bounds]
