"""The model of a transferred predictor: an old target's model, corrected for the new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitas_hw.predictors.features import FeatureTable, Floats, Inputs, Scale
from vitas_hw.predictors.kinds import Model, kind_named
from vitas_hw.predictors.smooth import Smooth
from vitas_hw.predictors.storage import exactly, text, whole

BEFORE = "before_ms"  # the name of the old prediction among the columns of the correction


@dataclass(frozen=True)
class Corrected:
    """``before x exp(correction)``, where ``before`` is another model's prediction.

    Args:
        base_kind: of the model before.
        base: the model before.
        base_scale: of the target that it was fitted for.
        correction: a ridge regression on the logarithm of new over old.
    """

    base_kind: str
    base: Model
    base_scale: Scale
    correction: Smooth
    kind = "transfer"

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) milliseconds."""
        table = with_before(inputs, self.base, self.base_scale)
        return table.columns((BEFORE,))[:, 0] * np.exp(self.correction(table))

    def to_dict(self) -> dict[str, Any]:
        return {
            "base_kind": self.base_kind,
            "base": self.base.to_dict(),
            "base_scale": [self.base_scale.batch_size, self.base_scale.element_bytes],
            "correction": self.correction.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Corrected:
        """Inverse of ``to_dict``. Raises ValueError, KeyError or TypeError on anything else."""
        exactly(data, ("base_kind", "base", "base_scale", "correction"))
        kind = text(data["base_kind"])
        load = cls.from_dict if kind == cls.kind else kind_named(kind).load
        images, size = (whole(value, 1, 2**31) for value in data["base_scale"])
        correction = Smooth.from_dict(data["correction"], (*names, BEFORE))
        return cls(kind, load(data["base"], names), Scale(images, size), correction)


def with_before(inputs: Inputs, base: Model, scale: Scale) -> FeatureTable:
    """The features of the new target, and what ``base`` predicted of its own, as the column ``BEFORE``."""
    assert inputs.columns is not None
    before = base.predict(Inputs.of(inputs.columns, scale))
    table = inputs.table
    return replace(table, names=(*table.names, BEFORE), values=np.column_stack([table.values, before]))
