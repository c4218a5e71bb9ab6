"""Folds of a cross-validation, and how good predictions of what was held out are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import VitasError
from vitas_hw.predictors.features import Floats, Ints

FOLDS = 5
Fold = tuple[Ints, Ints]
Choice = TypeVar("Choice")


def folds(count: int, seed: int, groups: npt.NDArray[np.generic] | None = None) -> list[Fold]:
    """(train, test) row indices of at most five folds; every row is tested once, a group's rows in one fold.

    Not scikit-learn's: its folds are others for the same seed, and the shipped predictors were chosen on these.

    Raises:
        VitasError: fewer than two groups.
    """
    members = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members)
    if len(sizes) < 2:
        problem = "A cross-validation needs at least two groups of rows; the table has one."
        raise VitasError(problem, "Leave `group` out.", field="group")
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]  # the largest groups first, so that the folds fill evenly
    filled, fold_of = np.zeros(min(FOLDS, len(sizes)), np.int64), np.zeros(len(sizes), np.int64)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    tested = fold_of[members]
    return [(np.flatnonzero(tested != fold), np.flatnonzero(tested == fold)) for fold in range(len(filled))]


def relative_error(predicted: Floats, measured: Floats, weights: Floats | None = None) -> float:
    """Mean of |predicted / measured - 1|; ``weights`` (N,) None counts all alike."""
    return float(np.average(np.abs(predicted / measured - 1), weights=weights))


def plainest(
    held_out: Mapping[Choice, Floats], measured: Floats, worth_it: float, weights: Floats | None = None
) -> Choice:
    """Of choices from plain to rich, by their held-out predictions: a richer one's error must be smaller by a factor of
    ``worth_it`` than that of the best plainer one.
    """
    errors = {choice: relative_error(predicted, measured, weights) for choice, predicted in held_out.items()}
    best = next(iter(errors))
    for choice, error in errors.items():
        if error < errors[best] * worth_it:
            best = choice
    return best


def scores(predicted: Floats, measured: Floats) -> dict[str, float]:
    """MAPE, RMSPE, shares within 5% and 10%, Kendall's tau-b and Spearman's rho of (N,) predictions.

    An order that does not exist (constant predictions or measurements) counts as 0.
    """
    from scipy.stats import kendalltau, spearmanr  # predicting needs none of it

    error = np.abs(predicted / measured - 1)
    ordered = np.ptp(predicted) > 0 and np.ptp(measured) > 0
    return {
        "mape": float(error.mean()),
        "rmspe": float(np.sqrt((error**2).mean())),
        "within_5": float((error <= 0.05).mean()),
        "within_10": float((error <= 0.10).mean()),
        "kendall": float(kendalltau(predicted, measured).statistic) if ordered else 0.0,
        "spearman": float(spearmanr(predicted, measured).statistic) if ordered else 0.0,
    }
