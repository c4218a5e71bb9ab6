"""Prediction intervals that hold: cross-conformal, on the relative error, scaled to the latency."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitas_hw.predictors.features import Floats
from vitas_hw.predictors.sealed_file import exactly, numbers

COVERAGE = 0.9
_FEWEST_A_PART = 20  # held-out errors below which a part of the range gets no width of its own
_PARTS = 3


@dataclass(frozen=True)
class Calibration:
    """Half the interval's width, on the logarithm of the latency, for each part of the range of predictions.

    Args:
        edges_ms: (P - 1,) increasing: predictions between two parts.
        half_widths: (P,) not negative.
        coverage: share of the measurements that lie inside.
    """

    coverage: float = field(default=COVERAGE, kw_only=True)
    edges_ms: tuple[float, ...]
    half_widths: tuple[float, ...]

    @classmethod
    def of(cls, held_out_ms: Floats, measured_ms: Floats) -> Calibration:
        """From predictions of models that had not seen the measurement: in each third, the smallest width that would
        have covered ``COVERAGE`` of them, with the conformal correction for their number.

        Too few measurements give one width for the whole range; where a finite sample can promise nothing (fewer than
        9), the largest error.
        """
        parts = _PARTS if len(measured_ms) >= _PARTS * _FEWEST_A_PART else 1
        edges = np.unique(np.quantile(held_out_ms, np.arange(1, parts) / parts))
        part = np.searchsorted(edges, held_out_ms, side="right")
        errors = np.abs(np.log(held_out_ms / measured_ms))
        everywhere = _covering(errors)
        widths = tuple(
            _covering(errors[part == p]) if (part == p).sum() >= _FEWEST_A_PART else everywhere
            for p in range(len(edges) + 1)
        )
        return cls(tuple(edges.tolist()), widths)

    def interval(self, latency_ms: Floats) -> tuple[Floats, Floats]:
        """(lower, upper) of (N,) predictions, milliseconds."""
        part = np.searchsorted(np.array(self.edges_ms), latency_ms, side="right")
        factor = np.exp(np.array(self.half_widths)[part])
        return latency_ms / factor, latency_ms * factor

    @classmethod
    def from_dict(cls, data: Any) -> Calibration:
        """From the JSON of one. Raises ValueError on anything else."""
        exactly(data, ("coverage", "edges_ms", "half_widths"))
        edges = numbers(data["edges_ms"], None)
        widths = numbers(data["half_widths"], len(edges) + 1)
        if data["coverage"] != COVERAGE or (widths < 0).any() or (widths > 50).any() or (np.diff(edges) <= 0).any():
            raise ValueError("the calibration is not one of this version")
        return cls(tuple(edges.tolist()), tuple(widths.tolist()))


def _covering(errors: Floats) -> float:
    rank = min(int(np.ceil((len(errors) + 1) * COVERAGE)), len(errors))
    return float(np.sort(errors)[rank - 1])
