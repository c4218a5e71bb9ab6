"""The model of a transferred predictor: an old target's model, corrected for the new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitas_hw.predictors.features import FeatureTable, Floats, Scale, features
from vitas_hw.predictors.line import Line
from vitas_hw.predictors.registry import Model, read_model
from vitas_hw.predictors.sealed_file import exactly, text, whole
from vitas_hw.predictors.smooth import Smooth

BEFORE = "before_ms"  # the name of the old prediction among the columns of the correction


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
    base: Model
    base_scale: Scale
    line: Line
    correction: Smooth | None
    kind = "transfer"

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        return self.of(with_before(table, self.base, self.base_scale))

    def of(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds of what ``with_before`` gave."""
        line = self.line.predict(table)
        return line if self.correction is None else line * np.exp(self.correction(table))

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Corrected:
        """From the JSON of one. Raises ValueError, KeyError or TypeError on anything else."""
        exactly(data, ("base_kind", "base", "base_scale", "line", "correction"))
        kind = text(data["base_kind"])
        images, size = (whole(value, 1, 2**31) for value in data["base_scale"])
        all_names = (*names, BEFORE)
        correction = None if data["correction"] is None else Smooth.from_dict(data["correction"], all_names)
        line = Line.from_dict(data["line"], all_names)
        return cls(kind, read_any(kind, data["base"], names), Scale(images, size), line, correction)


def with_before(table: FeatureTable, base: Model, scale: Scale) -> FeatureTable:
    """The features of the new target, and what ``base`` predicted of its own, as the column ``BEFORE``."""
    assert table.subnets is not None
    before = base.predict(features(table.subnets, scale))
    return replace(table, names=(*table.names, BEFORE), values=np.column_stack([table.values, before]))


def read_any(kind: str, data: Any, names: Sequence[str]) -> Model:
    """See ``read_model``; also a corrected one."""
    return Corrected.from_dict(data, names) if kind == Corrected.kind else read_model(kind, data, names)
