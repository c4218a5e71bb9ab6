"""What a fit is worth: every kind on held-out examples, beside the noise floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vitas_hw.predictors.cross_validation import Fold, relative_error, scores
from vitas_hw.predictors.examples import Examples, HeldOut
from vitas_hw.predictors.features import FeatureTable, Floats
from vitas_hw.predictors.kinds import DEFAULT_KIND, KINDS
from vitas_hw.predictors.label_noise import ErrorSplit, split_error
from vitas_hw.predictors.registry import fit_model, held_out_predictions
from vitas_hw.predictors.regression import Calibration
from vitas_hw.predictors.sealed_file import as_json

_SIZES = (20, 50, 100, 200, 400)  # of the learning curve
_DECILES = 10


@dataclass(frozen=True)
class KindReport:
    """One kind on examples that it had not seen, hyperparameters included.

    Args:
        kind: its name.
        apart: the model's own error and the labels' noise; None where the latter cannot be estimated.
        scores: on the labels as they are: MAPE, RMSPE, shares within 5% and 10%, Kendall, Spearman.
        decile_mape: MAPE in each tenth of the latencies, fastest first (fewer parts with under ten examples).
        held_out_ms: (N,) the predictions.
    """

    kind: str
    apart: ErrorSplit | None
    scores: dict[str, float]
    decile_mape: tuple[float, ...]
    held_out_ms: Floats = field(repr=False)


@dataclass(frozen=True)
class FitReport:
    """Every kind on the same examples and folds.

    Args:
        samples: N.
        noise_floor: mean relative difference of two measurements; None was not measured.
        coverage: of the default kind's interval, pooled over folds, each calibrated without the fold.
        learning_curve: (samples, MAPE of the default kind on the examples left out) increasing.
        measured_ms: (N,) the labels, each as it was tested.
        kinds: the default first.
    """

    samples: int
    noise_floor: float | None
    coverage: float
    learning_curve: tuple[tuple[int, float], ...]
    measured_ms: Floats = field(repr=False)
    kinds: tuple[KindReport, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the noise floor is ``"not measured"`` where it is not known."""
        floor = "not measured" if self.noise_floor is None else self.noise_floor
        return as_json(self) | {"noise_floor": floor}


def kinds_for(table: FeatureTable, first: str = DEFAULT_KIND) -> list[str]:
    """``first``, then the other kinds that these examples allow: ``flops`` needs a column of the whole work."""
    able = [kind for kind in KINDS if kind != "flops" or table.size is not None]
    return [first, *(kind for kind in able if kind != first)]


def report(
    examples: Examples,
    kinds: Sequence[str],
    *,
    noise_floor: float | None = None,
    seed: int = 0,
    on_kind: Callable[[str], None] = lambda kind: None,  # noqa: ARG005
) -> FitReport:
    """Cross-validate every kind; hyperparameters are chosen inside each training fold.

    Args:
        examples: N of them.
        kinds: the first one is the default.
        noise_floor: of the measurements; None where it is not known.
        seed: of folds and models.
        on_kind: told of each kind, and of the learning curve, when it is done.
    """
    tested, reports = examples.tested(seed), []
    measured = tested.measured
    for kind in kinds:
        held_out = held_out_predictions(kind, examples, seed)
        apart, errors = split_error(held_out, tested), _by_decile(held_out, measured)
        reports.append(KindReport(kind, apart, scores(held_out, measured), errors, held_out))
        on_kind(kind)
    curve = _learning_curve(kinds[0], examples.split(seed)[0], examples.groups is not None, seed)
    on_kind("learning curve")
    covered = float(covered_by_fold(reports[0].held_out_ms, measured, examples.folds(seed)).mean())
    return FitReport(len(examples), noise_floor, covered, curve, measured, tuple(reports))


def covered_by_fold(held_out: Floats, measured: Floats, split: Sequence[Fold]) -> npt.NDArray[np.bool_]:
    """(N,) whether each measurement lies in an interval calibrated on the other folds' held-out predictions."""
    inside = np.zeros(len(measured), bool)
    for train, test in split:
        lower, upper = Calibration.of(held_out[train], measured[train]).interval(held_out[test])
        inside[test] = (lower <= measured[test]) & (measured[test] <= upper)
    return inside


def noise_floor_text(noise_floor: float | None) -> str:
    """As people read it; no predictor is reported without it."""
    return "not measured" if noise_floor is None else f"{noise_floor:.1%}"


def _by_decile(held_out: Floats, measured: Floats) -> tuple[float, ...]:
    error = np.abs(held_out / measured - 1)
    parts = np.array_split(np.argsort(measured, kind="stable"), min(_DECILES, len(measured)))
    return tuple(float(error[part].mean()) for part in parts)


def _learning_curve(kind: str, fold: HeldOut, grouped: bool, seed: int) -> tuple[tuple[int, float], ...]:
    """Fitted to the first examples of a training fold, shuffled; tested on all of its test fold."""
    order = np.random.default_rng(seed).permutation(len(fold.seen))
    points = []
    for size in (*(size for size in _SIZES if size < len(order)), len(order)):
        seen = fold.seen.rows(order[:size])
        if grouped and seen.groups is None:
            continue  # all of one group
        predicted = fit_model(kind, seen, seed).predict(fold.tested.table)
        points.append((size, relative_error(predicted, fold.tested.measured)))
    return tuple(points)
