"""What predictors of subnets and of a table have in common: a model, its interval, what it saw, its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, PlainValidator

from vitas_hw.core.errors import InputError
from vitas_hw.core.tables import Cell, frame_of, html_of
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Examples, Model
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.label_noise import split_error
from vitas_hw.predictors.registry import read_model
from vitas_hw.predictors.sealed_file import Count, Number

if TYPE_CHECKING:
    import pandas as pd

COVERAGE = 0.9
_FEWEST_A_PART = 20  # held-out errors below which a part of the range gets no width of its own
_PARTS = 3


class Prediction(NamedTuple):
    """Latencies of N examples in milliseconds: (N,) each, with the interval that covers ``COVERAGE`` of measurements.

    ``inside`` is False where an example lies outside what the predictor has seen.
    """

    latency_ms: Floats
    lower_ms: Floats
    upper_ms: Floats
    inside: npt.NDArray[np.bool_]

    def to_dicts(self) -> list[dict[str, Cell]]:
        """As a table: a row for each example."""
        columns = {name: column.tolist() for name, column in self._asdict().items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> pd.DataFrame:
        """As a data frame of pandas, which is imported now. Raises VitasError if it is not installed."""
        return frame_of(self.to_dicts())

    def _repr_html_(self) -> str:
        return html_of("Predicted, with 90% intervals", self.to_dicts())


@dataclass(frozen=True)
class Calibration:
    """Half the interval's width, on the logarithm of the latency, for each part of the range of predictions.

    Args:
        coverage: share of the measurements that lie inside.
        edges_ms: (P - 1,) increasing: predictions between two parts.
        half_widths: (P,) not negative.
    """

    coverage: Number
    edges_ms: tuple[Number, ...]
    half_widths: tuple[Annotated[Number, Field(ge=0, le=50)], ...]

    def __post_init__(self) -> None:
        increasing = (np.diff(self.edges_ms) > 0).all()
        if self.coverage != COVERAGE or len(self.half_widths) != len(self.edges_ms) + 1 or not increasing:
            raise ValueError("the calibration is not one of this version")

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
        return cls(COVERAGE, tuple(edges.tolist()), widths)

    def interval(self, latency_ms: Floats) -> tuple[Floats, Floats]:
        """(lower, upper) of (N,) predictions, milliseconds."""
        part = np.searchsorted(np.array(self.edges_ms), latency_ms, side="right")
        factor = np.exp(np.array(self.half_widths)[part])
        return latency_ms / factor, latency_ms * factor


@dataclass(frozen=True)
class Regression:
    """A fitted model and what is known of it; its fields are those of a file.

    Args:
        kind: one of ``KINDS``, an older one, or ``transfer``.
        seed: of folds and trees.
        samples: how many examples it was fitted to.
        metrics: how well it predicts examples it has not seen (shares, not percent): ``model_error`` and
            ``label_noise`` are what their mean error is made of, see ``ErrorSplit``; and the noise floor of their
            measurements. None is not measured.
        calibration: of the interval.
        seen: (least, most) of each of the sizes that say what lies inside.
        model: examples to milliseconds.
    """

    kind: str
    seed: Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
    samples: Count
    metrics: dict[str, Number | None]
    calibration: Calibration
    seen: tuple[tuple[Number, Number], ...]
    model: Annotated[Model, PlainValidator(lambda data, info: read_model(info.data["kind"], data, info.context))]

    @classmethod
    def of(
        cls, kind: str, seed: int, model: Model, sizes: Floats, held_out: Floats, tested: Examples, floor: float | None
    ) -> Regression:
        """Metrics and interval come from (N,) held-out predictions of N ``tested`` examples; ``sizes`` is (N, S)."""
        apart = split_error(held_out, tested)
        metrics = {
            "model_error": None if apart is None else apart.model,
            "label_noise": None if apart is None else apart.labels,
            **scores(held_out, tested.measured),
            "noise_floor": floor,
        }
        seen = tuple(zip(sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist(), strict=True))
        return cls(kind, seed, len(tested), metrics, Calibration.of(held_out, tested.measured), seen, model)

    def predict(self, table: FeatureTable, sizes: Floats, beyond: float = 1.0, most: float = np.inf) -> Prediction:
        """Of N examples; inside are those whose (N, S) sizes lie within what was seen, or beyond it by that factor.

        Raises:
            InputError: the model gives no positive, finite number of at most ``most``, as one that was fitted does.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            latency = self.model.predict(table)
        wrong = np.flatnonzero(~(np.isfinite(latency) & (latency > 0) & (latency <= most)))
        if len(wrong):
            raise InputError(
                f"The predictor gives no positive, finite number of sane size for example {wrong[0] + 1}.",
                "Check that example; if it is in order, fit the predictor again.",
            )
        least, largest = np.asarray(self.seen).T
        inside = ((sizes >= least / beyond) & (sizes <= largest * beyond)).all(axis=1)
        return Prediction(latency, *self.calibration.interval(latency), inside)


def _covering(errors: Floats) -> float:
    rank = min(int(np.ceil((len(errors) + 1) * COVERAGE)), len(errors))
    return float(np.sort(errors)[rank - 1])
