"""The names of the kinds of predictor; what they are stands in ``registry``, which loads XGBoost."""

from __future__ import annotations

from vitas_hw.core.errors import InputError, one_of

KINDS = ("xgboost", "linear", "flops")  # the default first
DEFAULT_KIND = KINDS[0]
OLDER_KINDS = ("lookup", "mlp")


def check_kind(kind: str) -> None:
    """Raise InputError unless a predictor of this kind can be fitted."""
    if kind in OLDER_KINDS:
        known = ", ".join(KINDS)
        problem = f"Predictors of the kind {kind!r} can still be read but no longer fitted."
        raise InputError(problem, f"Known: {known}.", field="kind", value=kind, allowed=known)
    if kind not in KINDS:
        raise one_of(kind, KINDS, "kind of predictor")
