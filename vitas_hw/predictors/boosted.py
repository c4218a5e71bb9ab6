"""The ``xgboost`` kind: a physical line, a smooth correction and trees on what they miss, each only if it helps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator

from vitas_hw.predictors.cross_validation import Choice, relative_error
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.line import Line, Smooth, choose_columns, fit_line
from vitas_hw.predictors.sealed_file import LogRange, Number
from vitas_hw.predictors.trees import checked_booster

if TYPE_CHECKING:  # profiling needs none, also where XGBoost is not installed
    import xgboost as xgb

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
    booster: Annotated[dict[str, Any], AfterValidator(checked_booster)] | None
    share: Number
    range: LogRange

    def __post_init__(self) -> None:
        if self.share not in (0.0, *_SHARES):
            raise ValueError("the trees' share is not one of this version")
        if self.booster is not None:
            found = self._trees.inplace_predict(np.zeros((1, self._trees.num_features()), np.float32))
            if not np.isfinite(found).all():
                raise ValueError("the trees give no finite number")

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        latency = self.line.predict(table)
        if self.smooth is not None:
            latency = latency * np.exp(self.smooth(table))
        if self.booster is None or not len(table):  # XGBoost warns of an empty table
            return latency
        correction: Floats = self._trees.inplace_predict(table.values.astype(np.float32)).astype(np.float64)
        return latency * np.exp(self.share * np.clip(correction, *self.range))

    @cached_property
    def _trees(self) -> xgb.Booster:
        import xgboost as xgb

        trees = xgb.Booster(params={"nthread": 1})
        trees.load_model(bytearray(json.dumps(self.booster, separators=(",", ":")), "utf-8"))
        return trees


def fit_boosted(examples: Examples, seed: int) -> Boosted:
    """Columns of the line, penalty of the smooth part, depth, number and share of trees: all by cross-validation.

    Each part is taken only if it makes the held-out errors smaller, so the model never does worse than the line by
    more than the luck of the folds.
    """
    import xgboost as xgb

    names, held_out = choose_columns(examples, seed)
    fits = {penalty: partial(_fit_base, names=names, penalty=penalty) for penalty in (None, *_PENALTIES)}
    smoothed = {penalty: examples.held_out(fits[penalty], seed) for penalty in _PENALTIES}
    penalty = _best(smoothed, held_out, examples)
    base = fits[penalty](examples)
    if len(examples) < _FEWEST_FOR_TREES:
        return base
    held_out = held_out if penalty is None else smoothed[penalty]
    corrections = {choice: np.empty(len(examples)) for choice in product(_DEPTHS, _ROUNDS)}
    for train, test in examples.folds(seed):
        seen, unseen = examples.rows(train), xgb.DMatrix(examples.table.values[test], nthread=1)
        residual = _residual(fits[penalty](seen), seen)
        for depth in _DEPTHS:
            trees = _boost(seen, residual, depth, _ROUNDS[-1], seed)
            for rounds in _ROUNDS:
                correction = trees.predict(unseen, iteration_range=(0, rounds))
                corrections[depth, rounds][test] = np.clip(correction, residual.min(), residual.max())
    corrected = {
        (*choice, share): held_out * np.exp(share * correction)
        for choice, correction in corrections.items()
        for share in _SHARES
    }
    best = _best(corrected, held_out, examples)
    if best is None:
        return base
    depth, rounds, share = best
    residual = _residual(base, examples)
    booster = json.loads(_boost(examples, residual, depth, rounds, seed).save_raw("json"))
    return replace(base, booster=booster, share=share, range=(float(residual.min()), float(residual.max())))


def _best(held_out: Mapping[Choice, Floats], without: Floats, examples: Examples) -> Choice | None:
    """The choice that predicts best; None if it is not worth it, beside the predictions without a choice."""
    measured, weights = examples.measured, examples.weights
    errors = {choice: relative_error(predicted, measured, weights) for choice, predicted in held_out.items()}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < relative_error(without, measured, weights) * _WORTH_IT else None


def _fit_base(examples: Examples, names: tuple[str, ...], penalty: float | None) -> Boosted:
    """Without trees; a ``penalty`` of None is that of no smooth part."""
    line = Boosted(fit_line(examples, names), None, None, 0.0, (0.0, 0.0))
    if penalty is None:
        return line
    return replace(
        line, smooth=Smooth.fit(examples.table, _residual(line, examples), penalty, weights=examples.weights)
    )


def _residual(model: Boosted, examples: Examples) -> Floats:
    return np.log(examples.measured / model.predict(examples.table))


def _boost(examples: Examples, residual: Floats, depth: int, rounds: int, seed: int) -> xgb.Booster:
    import xgboost as xgb

    data = xgb.DMatrix(examples.table.values, residual, weight=examples.weights, nthread=1)
    return xgb.train({**_TREES, "max_depth": depth, "seed": seed}, data, rounds)
