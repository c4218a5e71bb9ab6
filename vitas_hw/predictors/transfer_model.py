"""The model of a transferred predictor: an old target's model, corrected for the new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitas_hw.predictors.features import FeatureTable, Floats, Inputs, Scale
from vitas_hw.predictors.line import Line
from vitas_hw.predictors.registry import Model, kind_named
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

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) milliseconds."""
        return self.of(with_before(inputs, self.base, self.base_scale))

    def of(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds of what ``with_before`` gave."""
        line = self.line.of(table)
        return line if self.correction is None else line * np.exp(self.correction(table))

    def to_dict(self) -> dict[str, Any]:
        return {
            "base_kind": self.base_kind,
            "base": self.base.to_dict(),
            "base_scale": [self.base_scale.batch_size, self.base_scale.element_bytes],
            "line": self.line.to_dict(),
            "correction": None if self.correction is None else self.correction.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Corrected:
        """Inverse of ``to_dict``. Raises ValueError, KeyError or TypeError on anything else."""
        exactly(data, ("base_kind", "base", "base_scale", "line", "correction"))
        kind = text(data["base_kind"])
        load = cls.from_dict if kind == cls.kind else kind_named(kind).load
        images, size = (whole(value, 1, 2**31) for value in data["base_scale"])
        all_names = (*names, BEFORE)
        correction = None if data["correction"] is None else Smooth.from_dict(data["correction"], all_names)
        line = Line.from_dict(data["line"], all_names)
        return cls(kind, load(data["base"], names), Scale(images, size), line, correction)


def with_before(inputs: Inputs, base: Model, scale: Scale) -> FeatureTable:
    """The features of the new target, and what ``base`` predicted of its own, as the column ``BEFORE``."""
    assert inputs.columns is not None
    before = base.predict(Inputs.of(inputs.columns, scale))
    table = inputs.table
    return replace(table, names=(*table.names, BEFORE), values=np.column_stack([table.values, before]))
