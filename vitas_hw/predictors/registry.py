"""The kinds of predictor, behind one small protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from vitas_hw.core.errors import one_of
from vitas_hw.predictors.boosted import Boosted, fit_boosted
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.kinds import check_kind
from vitas_hw.predictors.line import Line, fit_flops, fit_linear
from vitas_hw.predictors.older_kinds import Lookup, Mlp


class Model(Protocol):
    """A fitted regression, a dataclass whose fields are JSON by ``as_json``."""

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) positive milliseconds."""
        ...


Fit = Callable[[Examples, int], Model]  # chooses its hyperparameters by a cross-validation over the examples
_FITS: dict[str, Fit] = {"xgboost": fit_boosted, "linear": fit_linear, "flops": fit_flops}
_READERS: dict[str, Callable[[Any, Sequence[str]], Model]] = {
    "xgboost": Boosted.from_dict,
    "linear": Line.from_dict,
    "flops": Line.from_dict,
    "lookup": Lookup.from_dict,
    "mlp": Mlp.from_dict,
}


def read_model(kind: str, data: Any, names: Sequence[str]) -> Model:
    """A model from its JSON and the names of the columns. Raises ValueError, KeyError, TypeError or InputError."""
    if kind not in _READERS:
        raise one_of(kind, _READERS, "kind of predictor")
    return _READERS[kind](data, names)


def fit_model(kind: str, examples: Examples, seed: int) -> Model:
    """A model of a kind, fitted on one thread: its matrices are so small that more threads only wait for each other.

    Raises InputError on an unknown kind, or one that the examples do not allow.
    """
    check_kind(kind)
    with threadpool_limits(1):
        return _FITS[kind](examples, seed)


def held_out_predictions(
    kind: str, examples: Examples, seed: int, fit: Callable[[str, Examples, int], Model] = fit_model
) -> Floats:
    """(N,) milliseconds: each row predicted by a model that was fitted, hyperparameters too, without its fold."""
    predicted = np.empty(len(examples))
    for train, test in examples.folds(seed):
        predicted[test] = fit(kind, examples.rows(train), seed).predict(examples.table.rows(test))
    return predicted
