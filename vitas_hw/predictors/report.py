"""What a fit is worth: every kind on held-out examples, beside the noise floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vitas_hw.predictors.calibration import Calibration
from vitas_hw.predictors.features import Floats, Inputs, Ints
from vitas_hw.predictors.folds import folds
from vitas_hw.predictors.registry import KINDS, fit_model, held_out_predictions, kind_named
from vitas_hw.predictors.scores import scores

_SIZES = (20, 50, 100, 200, 400)  # of the learning curve
_DECILES = 10


@dataclass(frozen=True)
class KindReport:
    """One kind on examples that it had not seen, hyperparameters included.

    Args:
        kind: its name.
        scores: MAPE, RMSPE, shares within 5% and 10%, Kendall, Spearman.
        decile_mape: MAPE in each tenth of the latencies, fastest first (fewer parts with under ten examples).
        held_out_ms: (N,) the predictions.
    """

    kind: str
    scores: dict[str, float]
    decile_mape: tuple[float, ...]
    held_out_ms: Floats = field(repr=False)


@dataclass(frozen=True)
class FitReport:
    """Every kind on the same examples and folds.

    Args:
        samples: N.
        noise_floor: mean relative difference of two measurements; None was not measured.
        kinds: the default first.
        coverage: of the default kind's interval, pooled over folds, each calibrated without the fold.
        learning_curve: (samples, MAPE of the default kind on the examples left out) increasing.
        measured_ms: (N,).
    """

    samples: int
    noise_floor: float | None
    kinds: tuple[KindReport, ...]
    coverage: float
    learning_curve: tuple[tuple[int, float], ...]
    measured_ms: Floats = field(repr=False)

    @property
    def default(self) -> KindReport:
        return self.kinds[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the noise floor is ``"not measured"`` where it is not known."""
        return {
            "samples": self.samples,
            "noise_floor": "not measured" if self.noise_floor is None else self.noise_floor,
            "coverage": self.coverage,
            "learning_curve": [list(point) for point in self.learning_curve],
            "measured_ms": self.measured_ms.tolist(),
            "kinds": [asdict(one) | {"held_out_ms": one.held_out_ms.tolist()} for one in self.kinds],
        }


def kinds_for(inputs: Inputs) -> list[str]:
    """The kinds that these examples allow: ``lookup`` needs subnets, ``flops`` a column of the whole work."""
    able = {"lookup": inputs.columns is not None, "flops": inputs.table.size is not None}
    return [kind for kind in KINDS if able.get(kind, True)]


def report(
    inputs: Inputs,
    measured: Floats,
    *,
    noise_floor: float | None,
    kinds: Sequence[str] | None = None,
    groups: Any = None,
    seed: int = 0,
    on_kind: Callable[[str], None] = lambda kind: None,  # noqa: ARG005
) -> FitReport:
    """Cross-validate every kind; hyperparameters are chosen inside each training fold.

    Args:
        inputs: N examples.
        measured: (N,) positive latencies.
        noise_floor: of the measurements; None where it is not known.
        kinds: the first one is the default; None takes all that the examples allow.
        groups: (N,) examples of one group lie in one fold; None has none.
        seed: of folds and models.
        on_kind: told of each kind, and of the learning curve, when it is done.
    """
    names = list(kinds or kinds_for(inputs))
    for name in names:
        kind_named(name)
    reports = []
    for name in names:
        held_out = held_out_predictions(name, inputs, measured, seed, groups)
        reports.append(KindReport(name, scores(held_out, measured), _by_decile(held_out, measured), held_out))
        on_kind(name)
    split = folds(len(measured), seed, groups)
    curve = _learning_curve(names[0], inputs, measured, split, groups, seed)
    on_kind("learning curve")
    covered = pooled_coverage(reports[0].held_out_ms, measured, split)
    return FitReport(len(measured), noise_floor, tuple(reports), covered, curve, measured)


def pooled_coverage(held_out: Floats, measured: Floats, split: Sequence[tuple[Ints, Ints]]) -> float:
    """The share of measurements inside an interval calibrated on the other folds' held-out predictions."""
    inside = np.zeros(len(measured))
    for train, test in split:
        lower, upper = Calibration.of(held_out[train], measured[train]).interval(held_out[test])
        inside[test] = (lower <= measured[test]) & (measured[test] <= upper)
    return float(inside.mean())


def noise_floor_text(noise_floor: float | None) -> str:
    """As people read it; no predictor is reported without it."""
    return "not measured" if noise_floor is None else f"{noise_floor:.1%}"


def _by_decile(held_out: Floats, measured: Floats) -> tuple[float, ...]:
    error = np.abs(held_out / measured - 1)
    parts = np.array_split(np.argsort(measured, kind="stable"), min(_DECILES, len(measured)))
    return tuple(float(error[part].mean()) for part in parts)


def _learning_curve(
    kind: str, inputs: Inputs, measured: Floats, split: Sequence[tuple[Ints, Ints]], groups: Any, seed: int
) -> tuple[tuple[int, float], ...]:
    """Fitted to the first examples of the first training fold, shuffled; tested on all of its test fold."""
    train, test = split[0]
    order = np.random.default_rng(seed).permutation(train)
    points = []
    for size in (*(size for size in _SIZES if size < len(order)), len(order)):
        rows = order[:size]
        inside = None if groups is None else groups[rows]
        if inside is not None and len(np.unique(inside)) < 2:
            continue
        model = fit_model(kind, inputs.rows(rows), measured[rows], seed, inside)
        error = np.abs(model.predict(inputs.rows(test)) / measured[test] - 1)
        points.append((size, float(error.mean())))
    return tuple(points)
