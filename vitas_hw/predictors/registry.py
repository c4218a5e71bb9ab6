"""The kinds of predictor, behind one small protocol; one of them corrects the prediction of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import PlainValidator, ValidationInfo
from threadpoolctl import threadpool_limits

from vitas_hw.core.errors import one_of
from vitas_hw.predictors.boosted import Boosted, fit_boosted
from vitas_hw.predictors.examples import Examples, Model
from vitas_hw.predictors.features import FeatureTable, Floats, Scale, features
from vitas_hw.predictors.kinds import check_kind
from vitas_hw.predictors.line import Line, Smooth, fit_flops, fit_linear
from vitas_hw.predictors.older_kinds import Lookup, Mlp
from vitas_hw.predictors.sealed_file import Count, read

BEFORE = "before_ms"  # the name of the old prediction among the columns of a correction


def read_model(kind: str, data: Any, names: Sequence[str]) -> Model:
    """A model from its JSON and the names of the columns. Raises ValueError, KeyError, TypeError or InputError."""
    if kind not in _MODELS:
        raise one_of(kind, _MODELS, "kind of predictor")
    return read(_MODELS[kind], data, (*names, BEFORE) if kind == Corrected.kind else names)


def _read_base(data: Any, info: ValidationInfo) -> Model:
    return read_model(info.data["base_kind"], data, [name for name in info.context or () if name != BEFORE])


@dataclass(frozen=True)
class Corrected:
    """``line x exp(correction)``; the line runs through another model's prediction and a few sizes.

    Args:
        base_kind: of the model before.
        base: the model before.
        base_scale: of the target that it was fitted for.
        line: milliseconds on the new target for each old one, and for each unit of work that the new target is worse
            at; not negative in any coefficient.
        correction: a ridge regression on the line's logarithmic residual; None is none.
    """

    base_kind: str
    base: Annotated[Model, PlainValidator(_read_base)]
    base_scale: Annotated[Scale, PlainValidator(lambda data: Scale(*read(tuple[Count, Count], data)))]
    line: Line
    correction: Smooth | None
    kind = "transfer"

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds, of ``features`` or of what ``with_before`` made of them."""
        if BEFORE not in table.names:
            table = with_before(table, self.base, self.base_scale)
        line = self.line.predict(table)
        return line if self.correction is None else line * np.exp(self.correction(table))


def with_before(table: FeatureTable, base: Model, scale: Scale) -> FeatureTable:
    """The features of the new target, and what ``base`` predicted of its own, as the column ``BEFORE``."""
    assert table.subnets is not None
    before = base.predict(features(table.subnets, scale))
    return replace(table, names=(*table.names, BEFORE), values=np.column_stack([table.values, before]))


# each chooses its hyperparameters by a cross-validation over the examples
_FITS: dict[str, Callable[[Examples, int], Model]] = {"xgboost": fit_boosted, "linear": fit_linear, "flops": fit_flops}
_MODELS: dict[str, type[Model]] = {
    "xgboost": Boosted,
    "linear": Line,
    "flops": Line,
    "lookup": Lookup,
    "mlp": Mlp,
    Corrected.kind: Corrected,
}


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
    return examples.held_out(lambda seen: fit(kind, seen, seed), seed)
