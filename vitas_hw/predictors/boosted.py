"""The ``xgboost`` kind: a physical line, a smooth correction and trees on what they miss, each only if it helps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xgboost as xgb

from vitas_hw.predictors.cross_validation import Fold, relative_error
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.line import Line, choose_columns, fit_line
from vitas_hw.predictors.sealed_file import exactly
from vitas_hw.predictors.smooth import Smooth, log_range
from vitas_hw.predictors.trees import check_booster

_PENALTIES = (3.0, 30.0, 300.0)
_DEPTHS = (2, 4)
_ROUNDS = (20, 40, 80, 120)
_SHARES = (0.5, 1.0)  # of the trees' correction
_WORTH_IT = 0.98  # a part must make held-out errors smaller by 2% to be taken: choosing among many flatters the best
_FEWEST_FOR_TREES = 40
_TREES = {
    "eta": 0.1,
    "max_bin": 64,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "min_child_weight": 3,
    "lambda": 1.0,
    "objective": "reg:absoluteerror",
    "base_score": 0.0,
    "nthread": 1,
}


@dataclass(frozen=True)
class Boosted:
    """``line x exp(smooth + share x trees)``; smooth and trees may be absent.

    Args:
        line: not negative in any coefficient.
        smooth: a ridge regression on the line's logarithmic residual.
        booster: XGBoost's own JSON, on the residual of both; None without trees.
        share: how much of the trees' correction is used.
        range: of the trees' correction.
    """

    line: Line
    smooth: Smooth | None
    booster: dict[str, Any] | None
    share: float
    range: tuple[float, float]

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        latency = _base(self.line, self.smooth, table)
        if self.booster is None or not len(table):  # XGBoost warns of an empty table
            return latency
        correction: Floats = self._trees.inplace_predict(table.values.astype(np.float32)).astype(np.float64)
        return latency * np.exp(self.share * np.clip(correction, *self.range))

    @cached_property
    def _trees(self) -> xgb.Booster:
        trees = xgb.Booster(params={"nthread": 1})
        trees.load_model(bytearray(json.dumps(self.booster, separators=(",", ":")), "utf-8"))
        return trees

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Boosted:
        """From the JSON of one. Raises ValueError on anything else."""
        exactly(data, ("line", "smooth", "booster", "share", "range"))
        line = Line.from_dict(data["line"], names)
        smooth = None if data["smooth"] is None else Smooth.from_dict(data["smooth"], names)
        if data["share"] not in (0.0, *_SHARES):
            raise ValueError("the trees' share is not one of this version")
        model = cls(line, smooth, data["booster"], float(data["share"]), log_range(data["range"]))
        if model.booster is not None:
            check_booster(model.booster, len(names))
            try:
                found = model._trees.inplace_predict(np.zeros((1, len(names)), np.float32))
            except xgb.core.XGBoostError as error:
                raise ValueError(f"XGBoost refuses the trees: {str(error).splitlines()[0]}") from error
            if not np.isfinite(found).all():
                raise ValueError("the trees give no finite number")
        return model


def fit_boosted(examples: Examples, seed: int) -> Boosted:
    """Columns of the line, penalty of the smooth part, depth, number and share of trees: all by cross-validation.

    Each part is taken only if it makes the held-out errors smaller, so the model never does worse than the line by
    more than the luck of the folds.
    """
    split = examples.folds(seed)
    table, latency_ms = examples.table, examples.measured
    names, line_held_out = choose_columns(table, latency_ms, split)
    penalty, base_held_out = _choose_smooth(table, latency_ms, names, split, line_held_out)
    trees = None
    if len(latency_ms) >= _FEWEST_FOR_TREES:
        trees = _choose_trees(table, latency_ms, names, penalty, split, base_held_out, seed)
    line = fit_line(table, names, latency_ms)
    smooth = _fit_smooth(table, line, latency_ms, penalty)
    if trees is None:
        return Boosted(line, smooth, None, 0.0, (0.0, 0.0))
    depth, rounds, share = trees
    residual = np.log(latency_ms / _base(line, smooth, table))
    booster = _boost(table, residual, depth, rounds, seed)
    trees_json = json.loads(booster.save_raw("json"))
    return Boosted(line, smooth, trees_json, share, (float(residual.min()), float(residual.max())))


def _base(line: Line, smooth: Smooth | None, table: FeatureTable) -> Floats:
    return line.predict(table) if smooth is None else line.predict(table) * np.exp(smooth(table))


def _fit_smooth(table: FeatureTable, line: Line, latency_ms: Floats, penalty: float | None) -> Smooth | None:
    return None if penalty is None else Smooth.fit(table, np.log(latency_ms / line.predict(table)), penalty)


def _choose_smooth(
    table: FeatureTable, latency_ms: Floats, names: tuple[str, ...], split: Sequence[Fold], line_held_out: Floats
) -> tuple[float | None, Floats]:
    held_out = np.empty((len(_PENALTIES), len(latency_ms)))
    for train, test in split:
        seen, unseen = table.rows(train), table.rows(test)
        line = fit_line(seen, names, latency_ms[train])
        for row, penalty in enumerate(_PENALTIES):
            held_out[row, test] = _base(line, _fit_smooth(seen, line, latency_ms[train], penalty), unseen)
    errors = [relative_error(row, latency_ms) for row in held_out]
    best = int(np.argmin(errors))
    if errors[best] < relative_error(line_held_out, latency_ms) * _WORTH_IT:
        return _PENALTIES[best], held_out[best]
    return None, line_held_out


def _choose_trees(
    table: FeatureTable,
    latency_ms: Floats,
    names: tuple[str, ...],
    penalty: float | None,
    split: Sequence[Fold],
    base_held_out: Floats,
    seed: int,
) -> tuple[int, int, float] | None:
    corrections = np.zeros((len(_DEPTHS), len(_ROUNDS), len(latency_ms)))
    for train, test in split:
        seen, unseen = table.rows(train), xgb.DMatrix(table.values[test], nthread=1)
        line = fit_line(seen, names, latency_ms[train])
        base = _base(line, _fit_smooth(seen, line, latency_ms[train], penalty), seen)
        residual = np.log(latency_ms[train] / base)
        for i, depth in enumerate(_DEPTHS):
            trees = _boost(seen, residual, depth, _ROUNDS[-1], seed)
            for j, rounds in enumerate(_ROUNDS):
                correction = trees.predict(unseen, iteration_range=(0, rounds))
                corrections[i, j, test] = np.clip(correction, residual.min(), residual.max())
    best, best_error = None, relative_error(base_held_out, latency_ms) * _WORTH_IT
    for i, depth in enumerate(_DEPTHS):
        for j, rounds in enumerate(_ROUNDS):
            for share in _SHARES:
                error = relative_error(base_held_out * np.exp(share * corrections[i, j]), latency_ms)
                if error < best_error:
                    best, best_error = (depth, rounds, share), error
    return best


def _boost(table: FeatureTable, residual: Floats, depth: int, rounds: int, seed: int) -> xgb.Booster:
    data = xgb.DMatrix(table.values, residual, nthread=1)
    return xgb.train({**_TREES, "max_depth": depth, "seed": seed}, data, rounds)
