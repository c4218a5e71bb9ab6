"""The ``linear`` and ``flops`` kinds: time adds up, so much for each unit of work, and none of it is negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear, nnls

from vitas_hw.core.errors import InputError
from vitas_hw.predictors.cross_validation import Fold, relative_error
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.sealed_file import exactly, number, text

_REWEIGHTINGS = 4
_HUBER = 1.345  # 95% efficient on normal errors
_WORTH_IT = 0.99  # a richer model must err by 1% less than a plainer one to be taken


@dataclass(frozen=True)
class Line:
    """``intercept + sum(coefficient x column)`` in milliseconds, not below ``least``; no coefficient is negative."""

    intercept: float
    coefficients: Mapping[str, float]
    least: float

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        used = {name: value for name, value in self.coefficients.items() if value}
        line: Floats = np.full(len(table), self.intercept)
        if used:
            line += table.columns(tuple(used)) @ np.array(list(used.values()))
        return np.maximum(line, self.least)

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Line:
        """From the JSON of one. Raises ValueError on anything else, or on a column that is not in ``names``."""
        exactly(data, ("intercept", "coefficients", "least"))
        coefficients = {text(name): number(value) for name, value in data["coefficients"].items()}
        line = cls(number(data["intercept"]), coefficients, number(data["least"]))
        if not set(coefficients) <= set(names):
            raise ValueError("a coefficient belongs to no known column")
        if line.least <= 0 or min((line.intercept, *coefficients.values())) < 0:
            raise ValueError("a coefficient is negative, or the least latency is not positive")
        return line


def fit_line(table: FeatureTable, names: Sequence[str], latency_ms: Floats) -> Line:
    """Least squares on the relative error, outliers weighed down (Huber), coefficients not negative."""
    x = table.columns(names) if names else np.zeros((len(latency_ms), 0))
    scale = np.where(x.max(axis=0) > 0, x.max(axis=0), 1.0)  # keeps the solver well-conditioned
    relative = np.column_stack([np.ones(len(x)), x / scale]) / latency_ms[:, None]
    weights = np.ones(len(x))
    for _ in range(_REWEIGHTINGS):
        found = _non_negative(relative * weights[:, None], weights)
        error = np.abs(relative @ found - 1)
        spread = 1.4826 * float(np.median(error))
        weights = np.sqrt(np.minimum(1.0, _HUBER * spread / np.maximum(error, 1e-12))) if spread > 1e-9 else weights
    intercept, *slopes = found.tolist()
    coefficients = zip(names, (np.array(slopes) / scale).tolist(), strict=True)
    return Line(intercept, dict(coefficients), float(latency_ms.min()) / 10)


def _non_negative(x: Floats, y: Floats) -> Floats:
    """(C,) coefficients of the least squares."""
    try:
        coefficients: Floats = nnls(x, y)[0]
    except RuntimeError:  # its active set can go round in circles where there are as many columns as rows
        coefficients = np.maximum(lsq_linear(x, y, (0, np.inf)).x, 0)
    return coefficients


def choose_columns(table: FeatureTable, latency_ms: Floats, split: Sequence[Fold]) -> tuple[tuple[str, ...], Floats]:
    """Which of the nested physical sets of columns predicts held-out rows best, and (N,) those predictions."""
    best: tuple[str, ...] = ()
    best_held_out, best_error = np.empty(0), np.inf
    for names in ((), *table.physical):
        held_out = np.empty(len(latency_ms))
        for train, test in split:
            held_out[test] = fit_line(table.rows(train), names, latency_ms[train]).predict(table.rows(test))
        error = relative_error(held_out, latency_ms)
        if error < best_error * _WORTH_IT:
            best, best_held_out, best_error = names, held_out, error
    return best, best_held_out


def fit_linear(examples: Examples, seed: int) -> Line:
    """The line whose set of columns a cross-validation chooses."""
    table = examples.table
    names, _ = choose_columns(table, examples.measured, examples.folds(seed))
    return fit_line(table, names, examples.measured)


def fit_flops(examples: Examples, seed: int) -> Line:  # noqa: ARG001
    """One coefficient on the MACs, and an intercept."""
    table = examples.table
    if table.size is None:
        hint = "Name it so that it contains mac or flop."
        raise InputError("The kind 'flops' needs a column of MACs or FLOPs.", hint, field="kind", value="flops")
    return fit_line(table, (table.size,), examples.measured)
