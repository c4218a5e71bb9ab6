"""The regression inside a predictor: a straight physical line, then trees on what it misses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from vitas_hw.predictors.features import FeatureTable, Floats

# Time adds up: so much for each operator, for each MAC, for each weight and activation moved. None can be negative.
PHYSICAL = (
    "operators",
    "softmax.count",
    "convolution.macs",
    "linear.macs",
    "attention.macs",
    "thin_macs",
    "linear.weights",
    "linear.moved",
    "attention.moved",
    "softmax.moved",
    "activation.moved",
)
_TREES = {"max_depth": 3, "eta": 0.05, "subsample": 0.8, "colsample_bytree": 0.5, "min_child_weight": 3, "lambda": 1.0}
MOST_ROUNDS = 300
FOLDS = 5


@dataclass(frozen=True)
class LatencyModel:
    """log latency = log(line) + trees; ``rounds`` of boosting, possibly none, chosen by cross-validation.

    Args:
        intercept: milliseconds.
        coefficients: milliseconds per unit of each of ``PHYSICAL``, none negative.
        rounds: trees in use.
        booster: XGBoost's own JSON; empty with 0 rounds.
    """

    intercept: float
    coefficients: tuple[float, ...]
    rounds: int
    booster: str

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        line: Floats = self.intercept + table.columns(PHYSICAL) @ np.asarray(self.coefficients)
        if not self.rounds or not len(line):  # XGBoost warns of an empty table
            return line
        residual: Floats = self._trees.predict(xgb.DMatrix(table.values, nthread=1)).astype(np.float64)
        return line * np.exp(residual)

    @cached_property
    def _trees(self) -> xgb.Booster:
        trees = xgb.Booster(params={"nthread": 1})
        trees.load_model(bytearray(self.booster, "utf-8"))
        return trees

    def to_dict(self) -> dict[str, Any]:
        return {
            "intercept": self.intercept,
            "coefficients": dict(zip(PHYSICAL, self.coefficients, strict=True)),
            "rounds": self.rounds,
            "booster": json.loads(self.booster) if self.booster else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LatencyModel:
        """Inverse of ``to_dict``. Raises KeyError, TypeError or ValueError on anything else."""
        if tuple(data["coefficients"]) != PHYSICAL:
            raise ValueError("the coefficients are not those of this version")
        coefficients = tuple(float(data["coefficients"][name]) for name in PHYSICAL)
        booster = "" if data["booster"] is None else json.dumps(data["booster"])
        return cls(float(data["intercept"]), coefficients, int(data["rounds"]), booster)


def fit_model(table: FeatureTable, latency_ms: Floats, seed: int) -> tuple[LatencyModel, Floats]:
    """Fit on N >= 10 subnets.

    Args:
        table: features of the N subnets.
        latency_ms: (N,) positive.
        seed: of folds and trees; the same seed gives the same model, byte for byte.

    Returns:
        The model, and (N,) out-of-fold predictions in milliseconds: each subnet predicted by a model that has not
        seen it, with the number of trees chosen over all folds.
    """
    count = len(latency_ms)
    held_out = np.zeros((MOST_ROUNDS + 1, count))
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(np.arange(count)):
        line = _fit_line(table.columns(PHYSICAL)[train], latency_ms[train])
        base = line[0] + table.columns(PHYSICAL) @ np.asarray(line[1])
        trees = _boost(table.values[train], np.log(latency_ms[train] / base[train]), MOST_ROUNDS, seed)
        data = xgb.DMatrix(table.values[test], nthread=1)
        held_out[0, test] = base[test]
        for rounds in range(10, MOST_ROUNDS + 1, 10):
            residual = trees.predict(data, iteration_range=(0, rounds))
            held_out[rounds, test] = base[test] * np.exp(residual.astype(np.float64))
    tried = np.arange(0, MOST_ROUNDS + 1, 10)
    errors = np.abs(held_out[tried] / latency_ms - 1).mean(axis=1)
    rounds = int(tried[np.argmin(errors)])
    intercept, coefficients = _fit_line(table.columns(PHYSICAL), latency_ms)
    base = intercept + table.columns(PHYSICAL) @ np.asarray(coefficients)
    booster = ""
    if rounds:
        trees = _boost(table.values, np.log(latency_ms / base), rounds, seed)
        booster = trees.save_raw("json").decode()
    return LatencyModel(intercept, coefficients, rounds, booster), held_out[rounds]


def _fit_line(x: Floats, latency_ms: Floats) -> tuple[float, tuple[float, ...]]:
    # weights 1 / latency make it least squares on the relative error; scaled columns keep the solver well-conditioned
    scale = np.where(x.max(axis=0) > 0, x.max(axis=0), 1.0)
    line = LinearRegression(positive=True, fit_intercept=False)
    line.fit(np.column_stack([np.ones(len(x)), x / scale]) / latency_ms[:, None], np.ones(len(x)))
    intercept, *slopes = line.coef_
    return float(intercept), tuple((np.asarray(slopes) / scale).tolist())


def _boost(x: Floats, residual: Floats, rounds: int, seed: int) -> xgb.Booster:
    parameters = {**_TREES, "seed": seed, "nthread": 1, "base_score": 0.0, "objective": "reg:absoluteerror"}
    return xgb.train(parameters, xgb.DMatrix(x, residual, nthread=1), rounds)
