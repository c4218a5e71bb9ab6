"""The ``linear`` and ``flops`` kinds: time adds up, so much for each unit of work, and none of it is negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear, nnls

from vitas_hw.core.errors import InputError
from vitas_hw.predictors.features import FeatureTable, Floats, Inputs
from vitas_hw.predictors.folds import Fold, folds, relative_error
from vitas_hw.predictors.sealed_file import exactly, number, text

_REWEIGHTINGS = 4
_HUBER = 1.345  # 95% efficient on normal errors
_WORTH_IT = 0.99  # a richer model must err by 1% less than a plainer one to be taken


@dataclass(frozen=True)
class Line:
    """``intercept + sum(coefficient x column)`` in milliseconds, not below ``least``; no coefficient is negative."""

    intercept: float
    coefficients: tuple[tuple[str, float], ...]
    least: float

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) milliseconds."""
        return self.of(inputs.table)

    def of(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        names = [name for name, value in self.coefficients if value]
        slopes = np.array([value for _, value in self.coefficients if value])
        line: Floats = np.full(len(table), self.intercept)
        if names:
            line += table.columns(names) @ slopes
        return np.maximum(line, self.least)

    def to_dict(self) -> dict[str, Any]:
        return {"intercept": self.intercept, "coefficients": dict(self.coefficients), "least": self.least}

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Line:
        """Inverse of ``to_dict``. Raises ValueError on anything else, or on a column that is not in ``names``."""
        exactly(data, ("intercept", "coefficients", "least"))
        coefficients = tuple((text(name), number(value)) for name, value in data["coefficients"].items())
        line = cls(number(data["intercept"]), coefficients, number(data["least"]))
        if not {name for name, _ in coefficients} <= set(names):
            raise ValueError("a coefficient belongs to no known column")
        if line.least <= 0 or min((line.intercept, *(value for _, value in coefficients))) < 0:
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
    return Line(intercept, tuple(coefficients), float(latency_ms.min()) / 10)


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
            held_out[test] = fit_line(table.rows(train), names, latency_ms[train]).of(table.rows(test))
        error = relative_error(held_out, latency_ms)
        if error < best_error * _WORTH_IT:
            best, best_held_out, best_error = names, held_out, error
    return best, best_held_out


def fit_linear(inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Line:
    """The line whose set of columns a cross-validation chooses."""
    names, _ = choose_columns(inputs.table, latency_ms, folds(len(inputs), seed, groups))
    return fit_line(inputs.table, names, latency_ms)


def fit_flops(inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Line:  # noqa: ARG001
    """One coefficient on the MACs, and an intercept."""
    if inputs.table.size is None:
        raise InputError(
            "The kind 'flops' needs a column of MACs or FLOPs.", "Name it so that it contains mac or flop."
        )
    return fit_line(inputs.table, (inputs.table.size,), latency_ms)
