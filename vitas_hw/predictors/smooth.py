"""Columns made fit for linear regression, and a smooth correction of a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.sealed_file import exactly, numbers, text

_FARTHEST = 4.0  # standard deviations: beyond, a correction goes on no farther
_LEAST_UNIT, _LEAST_DEVIATION = 1e-30, 1e-9  # less counts as none


@dataclass(frozen=True)
class Standard:
    """Columns with mean 0 and deviation 1; those that are never negative on a logarithmic scale.

    Args:
        names: of the C columns.
        unit: (C,) what a column is divided by before its logarithm; 0 for one that is taken as it is.
        mean, deviation: (C,) after that; a deviation of 0 is that of a column that says nothing.
    """

    names: tuple[str, ...]
    unit: Floats
    mean: Floats
    deviation: Floats

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

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Standard:
        """From the JSON of one. Raises ValueError on anything else."""
        exactly(data, ("names", "unit", "mean", "deviation"))
        own = tuple(text(name) for name in data["names"])
        if not own or not set(own) <= set(names):
            raise ValueError("a column is not known")
        unit, mean, deviation = (numbers(data[key], len(own)) for key in ("unit", "mean", "deviation"))
        if ((unit != 0) & (unit < _LEAST_UNIT)).any() or ((deviation != 0) & (deviation < _LEAST_DEVIATION)).any():
            raise ValueError("a scale is negative or too small")
        return cls(own, unit, mean, deviation)


def _scaled(x: Floats, unit: Floats) -> Floats:
    logarithmic = unit > 0
    return np.where(logarithmic, np.log1p(np.maximum(x, 0) / np.where(logarithmic, unit, 1.0)), x)


@dataclass(frozen=True)
class Smooth:
    """A ridge regression of a logarithmic residual, held inside the range that was seen."""

    standard: Standard
    intercept: float
    coefficients: Floats
    range: tuple[float, float]

    @classmethod
    def fit(
        cls,
        table: FeatureTable,
        residual: Floats,
        alpha: float,
        names: Sequence[str] | None = None,
        slack: float = 0.0,
    ) -> Smooth:
        """``alpha`` is the penalty; ``slack`` widens the range, in shares of it; ``names`` None takes all columns."""
        standard = Standard.of(table, names)
        ridge = Ridge(alpha=alpha).fit(standard(table), residual)
        low, high = float(residual.min()), float(residual.max())
        wider = slack * (high - low)
        return cls(standard, float(ridge.intercept_), ridge.coef_, (low - wider, high + wider))

    def __call__(self, table: FeatureTable) -> Floats:
        """(N,) logarithmic residuals."""
        return np.clip(self.intercept + self.standard(table) @ self.coefficients, *self.range)

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Smooth:
        """From the JSON of one. Raises ValueError on anything else."""
        exactly(data, ("standard", "intercept", "coefficients", "range"))
        standard = Standard.from_dict(data["standard"], names)
        low, high = log_range(data["range"])
        (intercept,) = numbers([data["intercept"]], 1)
        return cls(standard, float(intercept), numbers(data["coefficients"], len(standard.names)), (low, high))


def log_range(data: Any) -> tuple[float, float]:
    """(low, high) of a logarithmic residual from a file. Raises ValueError on anything else."""
    low, high = numbers(data, 2).tolist()
    if not -50 <= low <= high <= 50:
        raise ValueError("a range of corrections is turned round or too wide")
    return low, high
