"""The ``linear`` and ``flops`` kinds: time adds up, so much for each unit of work, and none of it is negative.

Also a smooth correction of such a line, by ridge regression, and the columns made fit for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from vitas_hw.core.errors import InputError
from vitas_hw.predictors.cross_validation import plainest
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.sealed_file import Array, Column, LogRange, Number

_REWEIGHTINGS = 4
_HUBER = 1.345  # 95% efficient on normal errors
_WORTH_IT = 0.99  # a richer model must err by 1% less than a plainer one to be taken
_FARTHEST = 4.0  # standard deviations: beyond, a correction goes on no farther
_LEAST_UNIT, _LEAST_DEVIATION = 1e-30, 1e-9  # less counts as none
_NotNegative = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True)
class Line:
    """``intercept + sum(coefficient x column)`` in milliseconds, not below ``least``; no coefficient is negative."""

    intercept: _NotNegative
    coefficients: dict[Column, _NotNegative]
    least: Annotated[Number, Field(gt=0)]

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        used = {name: value for name, value in self.coefficients.items() if value}
        line: Floats = np.full(len(table), self.intercept)
        if used:
            line += table.columns(tuple(used)) @ np.array(list(used.values()))
        return np.maximum(line, self.least)


def fit_line(examples: Examples, names: Sequence[str]) -> Line:
    """Least squares on the relative error, outliers weighed down (Huber), coefficients not negative.

    An example that is known well counts for more, and is an outlier sooner.
    """
    latency_ms = examples.measured
    x = examples.table.columns(names) if names else np.zeros((len(latency_ms), 0))
    scale = np.where(x.max(axis=0) > 0, x.max(axis=0), 1.0)  # keeps the solver well-conditioned
    relative = np.column_stack([np.ones(len(x)), x / scale]) / latency_ms[:, None]
    known = np.ones(len(x)) if examples.weights is None else np.sqrt(examples.weights)
    weights = known
    for _ in range(_REWEIGHTINGS):
        found = _non_negative(relative * weights[:, None], weights)
        error = np.abs(relative @ found - 1) * known
        spread = 1.4826 * float(np.median(error))
        huber = np.sqrt(np.minimum(1.0, _HUBER * spread / np.maximum(error, 1e-12)))
        weights = known * huber if spread > 1e-9 else weights
    intercept, *slopes = found.tolist()
    coefficients = zip(names, (np.array(slopes) / scale).tolist(), strict=True)
    return Line(intercept, dict(coefficients), float(latency_ms.min()) / 10)


def _non_negative(x: Floats, y: Floats) -> Floats:
    """(C,) coefficients of the least squares."""
    from scipy.optimize import lsq_linear, nnls  # predicting needs none of it

    try:
        coefficients: Floats = nnls(x, y)[0]
    except RuntimeError:  # its active set can go round in circles where there are as many columns as rows
        coefficients = np.maximum(lsq_linear(x, y, (0, np.inf)).x, 0)
    return coefficients


def choose_columns(examples: Examples, seed: int) -> tuple[tuple[str, ...], Floats]:
    """Which of the nested physical sets of columns predicts held-out rows best, and (N,) those predictions."""
    found = {names: examples.held_out(partial(fit_line, names=names), seed) for names in ((), *examples.table.physical)}
    best = plainest(found, examples.measured, _WORTH_IT, examples.weights)
    return best, found[best]


def fit_linear(examples: Examples, seed: int) -> Line:
    """The line whose set of columns a cross-validation chooses."""
    return fit_line(examples, choose_columns(examples, seed)[0])


def fit_flops(examples: Examples, seed: int) -> Line:  # noqa: ARG001
    """One coefficient on the MACs, and an intercept."""
    if examples.table.size is None:
        hint = "Name it so that it contains mac or flop."
        raise InputError("The kind 'flops' needs a column of MACs or FLOPs.", hint, field="kind", value="flops")
    return fit_line(examples, (examples.table.size,))


@dataclass(frozen=True)
class Standard:
    """Columns with mean 0 and deviation 1; those that are never negative on a logarithmic scale.

    Args:
        names: of the C columns.
        unit: (C,) what a column is divided by before its logarithm; 0 for one that is taken as it is.
        mean, deviation: (C,) after that; a deviation of 0 is that of a column that says nothing.
    """

    names: tuple[Column, ...]
    unit: Array
    mean: Array
    deviation: Array

    def __post_init__(self) -> None:
        if any(part.shape != (len(self.names),) for part in (self.unit, self.mean, self.deviation)) or not self.names:
            raise ValueError("there is not one scale for each column")
        for part, least in ((self.unit, _LEAST_UNIT), (self.deviation, _LEAST_DEVIATION)):
            if ((part != 0) & (part < least)).any():
                raise ValueError("a scale is negative or too small")

    @classmethod
    def of(cls, table: FeatureTable, names: Sequence[str] | None = None) -> Standard:
        names = tuple(names or table.names)
        x = table.columns(names)
        mean = np.abs(x).mean(axis=0)
        unit = np.where((x >= 0).all(axis=0) & (mean >= _LEAST_UNIT), mean, 0.0)
        scaled = _scaled(x, unit)
        deviation = scaled.std(axis=0)
        return cls(names, unit, scaled.mean(axis=0), np.where(deviation >= _LEAST_DEVIATION, deviation, 0.0))

    def __call__(self, table: FeatureTable) -> Floats:
        """(N, C)."""
        deviation = np.where(self.deviation > 0, self.deviation, np.inf)
        scaled = (_scaled(table.columns(self.names), self.unit) - self.mean) / deviation
        return np.clip(scaled, -_FARTHEST, _FARTHEST)


def _scaled(x: Floats, unit: Floats) -> Floats:
    logarithmic = unit > 0
    return np.where(logarithmic, np.log1p(np.maximum(x, 0) / np.where(logarithmic, unit, 1.0)), x)


@dataclass(frozen=True)
class Smooth:
    """A ridge regression of a logarithmic residual, held inside the range that was seen."""

    standard: Standard
    intercept: Number
    coefficients: Array
    range: LogRange

    def __post_init__(self) -> None:
        if self.coefficients.shape != (len(self.standard.names),):
            raise ValueError("there is not one coefficient for each column")

    @classmethod
    def fit(
        cls,
        table: FeatureTable,
        residual: Floats,
        alpha: float,
        names: Sequence[str] | None = None,
        slack: float = 0.0,
        weights: Floats | None = None,
    ) -> Smooth:
        """``alpha`` is the penalty; ``slack`` widens the range, in shares of it; ``names`` None takes all columns."""
        from sklearn.linear_model import Ridge

        standard = Standard.of(table, names)
        ridge = Ridge(alpha=alpha).fit(standard(table), residual, weights)
        low, high = float(residual.min()), float(residual.max())
        wider = slack * (high - low)
        return cls(standard, float(ridge.intercept_), ridge.coef_, (low - wider, high + wider))

    def __call__(self, table: FeatureTable) -> Floats:
        """(N,) logarithmic residuals."""
        return np.clip(self.intercept + self.standard(table) @ self.coefficients, *self.range)
