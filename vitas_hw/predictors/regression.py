"""What predictors of subnets and of a table have in common: a model, its interval, what it saw, its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError
from vitas_hw.predictors.calibration import Calibration
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.registry import Model
from vitas_hw.predictors.sealed_file import number, numbers, text, whole
from vitas_hw.predictors.transfer_model import read_any


@dataclass(frozen=True)
class Prediction:
    """Latencies of N examples in milliseconds: (N,) each, with the interval that covers ``COVERAGE`` of measurements.

    ``inside`` is False where an example lies outside what the predictor has seen.
    """

    latency_ms: Floats
    lower_ms: Floats
    upper_ms: Floats
    inside: npt.NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Prediction]) -> Prediction:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Regression:
    """A fitted model and what is known of it; its fields are those of a file.

    Args:
        kind: one of ``KINDS``, an older one, or ``transfer``.
        seed: of folds and trees.
        samples: how many examples it was fitted to.
        metrics: how well it predicts examples it has not seen (shares, not percent), and the noise floor of their
            measurements; None is not measured.
        calibration: of the interval.
        seen: (least, most) of each of the sizes that say what lies inside.
        model: examples to milliseconds.
    """

    kind: str
    seed: int
    samples: int
    metrics: dict[str, float | None]
    calibration: Calibration
    seen: tuple[tuple[float, float], ...]
    model: Model

    @classmethod
    def of(
        cls, kind: str, seed: int, model: Model, sizes: Floats, held_out: Floats, measured: Floats, floor: float | None
    ) -> Regression:
        """Metrics and interval come from (N,) held-out predictions of the N measurements; ``sizes`` is (N, S)."""
        metrics = {**scores(held_out, measured), "noise_floor": floor}
        seen = tuple(zip(sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist(), strict=True))
        return cls(kind, seed, len(measured), metrics, Calibration.of(held_out, measured), seen, model)

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

    @classmethod
    def from_dict(cls, data: dict[str, Any], names: Sequence[str], sizes: int) -> Regression:
        """From the JSON of one, for a model over the columns ``names``; other fields are not looked at.

        Raises ValueError, KeyError, TypeError or InputError on anything else.
        """
        kind = text(data["kind"])
        return cls(
            kind=kind,
            seed=whole(data["seed"], 0, 2**32 - 1),
            samples=whole(data["samples"], 1, 2**31),
            metrics={text(k): None if value is None else number(value) for k, value in data["metrics"].items()},
            calibration=Calibration.from_dict(data["calibration"]),
            seen=tuple((least, most) for least, most in numbers(data["seen"], sizes, 2).tolist()),
            model=read_any(kind, data["model"], names),
        )


FIELDS = tuple(one.name for one in fields(Regression))
