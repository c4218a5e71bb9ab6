"""The kinds of predictor, behind one small protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from vitas_hw.core.errors import one_of
from vitas_hw.predictors.boosted import Boosted, fit_boosted
from vitas_hw.predictors.features import Floats, Inputs
from vitas_hw.predictors.folds import folds
from vitas_hw.predictors.line import Line, fit_flops, fit_linear
from vitas_hw.predictors.lookup import Lookup, fit_lookup
from vitas_hw.predictors.mlp import Mlp, fit_mlp

DEFAULT_KIND = "xgboost"


class Model(Protocol):
    """A fitted regression: examples to milliseconds, and its own JSON."""

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) positive milliseconds."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        ...


class Fit(Protocol):
    """Fits a model, choosing its hyperparameters by a cross-validation over the rows that it is given."""

    def __call__(self, inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Model: ...


class Load(Protocol):
    """A model from its JSON and the names of the columns. Raises ValueError, KeyError or TypeError."""

    def __call__(self, data: Any, names: Sequence[str]) -> Model: ...


@dataclass(frozen=True)
class Kind:
    fit: Fit
    load: Load


KINDS: dict[str, Kind] = {
    "xgboost": Kind(fit_boosted, Boosted.from_dict),
    "linear": Kind(fit_linear, Line.from_dict),
    "flops": Kind(fit_flops, Line.from_dict),
    "lookup": Kind(fit_lookup, Lookup.from_dict),
    "mlp": Kind(fit_mlp, Mlp.from_dict),
}


def kind_named(name: str) -> Kind:
    """A kind of ``KINDS``. Raises InputError on another name."""
    if name not in KINDS:
        raise one_of(name, KINDS, "kind of predictor")
    return KINDS[name]


def fit_model(kind: str, inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Model:
    """A model of a kind, fitted on one thread: its matrices are so small that more threads only wait for each other.

    Raises InputError on an unknown kind, or one that the examples do not allow.
    """
    fit = kind_named(kind).fit
    with threadpool_limits(1):
        return fit(inputs, latency_ms, seed, groups)


def held_out_predictions(kind: str, inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Floats:
    """(N,) milliseconds: each row predicted by a model that was fitted, hyperparameters too, without its fold."""
    predicted = np.empty(len(latency_ms))
    for train, test in folds(len(inputs), seed, groups):
        inside = None if groups is None else groups[train]
        if inside is not None and len(np.unique(inside)) < 2:
            inside = None  # one group is left to learn from: its own rows choose the hyperparameters
        model = fit_model(kind, inputs.rows(train), latency_ms[train], seed, inside)
        predicted[test] = model.predict(inputs.rows(test))
    return predicted
