"""Rank correlations of several scores with one truth, over units and within groups of them, with paired resamples.

Kendall's tau-b of a resample needs no sorting: with the signs of all pairs' differences it is a quadratic form in how
often each unit was drawn. A pair of copies of one unit counts as tied in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench_tools import Floats, resamples
from scipy.stats import rankdata


def draws(count: int) -> Floats:
    """(1 + resamples, count) how often each unit is drawn; the first row is the units as they are."""
    drawn = [np.bincount(row, minlength=count) for row in resamples(count)]
    return np.vstack([np.ones(count), drawn]).astype(np.float64)


def kendall(a: Floats, b: Floats, times: Floats) -> Floats:
    """(N,) tau-b for each row of ``times`` (N, units); nan where one of the two has no order."""
    first, second = (np.sign(values[:, None] - values[None]) for values in (a, b))
    both, of_a, of_b = (_form(signs, times) for signs in (first * second, first**2, second**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return both / np.sqrt(of_a * of_b)  # type: ignore[no-any-return]


def kendall_within(a: Floats, b: Floats, groups: Sequence[Any], times: Floats) -> Floats:
    """(N,) mean over groups of the tau-b within each, weighted by its pairs; groups without an order do not count."""
    kinds = np.asarray(groups)
    total, weights = np.zeros(len(times)), np.zeros(len(times))
    for kind in np.unique(kinds):
        members = kinds == kind
        inside = times[:, members]
        tau, units = kendall(a[members], b[members], inside), inside.sum(axis=1)
        pairs = np.where(np.isnan(tau), 0.0, units * (units - 1) / 2)
        total, weights = total + np.nan_to_num(tau) * pairs, weights + pairs
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / weights  # type: ignore[no-any-return]


def spearman(a: Floats, b: Floats) -> Floats:
    """(1 + resamples,) rank correlation, rows as of ``draws``; nan where one of the two has no order."""
    rows = np.vstack([np.arange(len(a)), resamples(len(a))])
    first, second = (rankdata(values[rows], axis=1) for values in (a, b))
    first, second = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        return (first * second).sum(axis=1) / lengths  # type: ignore[no-any-return]


def lost(truth: Floats, score: Floats, times: Floats) -> Floats:
    """(N,) best truth minus the truth of the score's favourite (the mean of several favourites), among those drawn."""
    there = times > 0
    best = np.where(there, truth, -np.inf).max(axis=1)
    highest = np.where(there, score, -np.inf).max(axis=1, keepdims=True)
    favourites = there & (score == highest)
    return best - (favourites * truth).sum(axis=1) / favourites.sum(axis=1)  # type: ignore[no-any-return]


def leave_one_out(features: Floats, truth: Floats) -> Floats:
    """(units,) what a linear fit to all other units says of each."""
    predictions = np.empty(len(truth))
    for unit in range(len(truth)):
        others = np.arange(len(truth)) != unit
        weights = np.linalg.lstsq(features[others], truth[others], rcond=None)[0]
        predictions[unit] = features[unit] @ weights
    return predictions


def estimate(values: Floats) -> dict[str, Any]:
    """The first value, and the 95% percentile interval of the resamples after it; None for nan."""
    if np.isnan(values[0]):
        return {"value": None, "interval_95": None}
    bounds = np.nanpercentile(values[1:], (2.5, 97.5))
    return {"value": round(float(values[0]), 4), "interval_95": [round(float(bound), 4) for bound in bounds]}


def _form(matrix: Floats, times: Floats) -> Floats:
    return np.einsum("ni,ij,nj->n", times, matrix, times, optimize=True)  # type: ignore[no-any-return]
