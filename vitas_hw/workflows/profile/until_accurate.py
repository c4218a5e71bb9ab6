"""Profiling until the predictor is good enough: in batches, each where the predictor is least sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitas_hw.core.progress import Progress
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.active_learning import choose_next, keep_going
from vitas_hw.predictors.examples import FEWEST, Measured
from vitas_hw.predictors.predictor import fit
from vitas_hw.profiling.profile import Measurement
from vitas_hw.profiling.selection import choose_subnets
from vitas_hw.workflows.profile.settings import ProfileSettings

_FIRST = 2 * FEWEST
_GROWTH = 0.25  # of what is measured, in the next batch
_CANDIDATES = 4000


@dataclass(frozen=True)
class Growth:
    """How a profile grew.

    Args:
        subnets: all that were measured, in order.
        history: (subnets that ran, cross-validated MAPE) after each batch.
        reason: why it stopped.
    """

    subnets: list[Subnet]
    history: tuple[tuple[int, float], ...]
    reason: str


def grow(
    space: SearchSpace,
    target: Target,
    settings: ProfileSettings,
    measure: Callable[[Sequence[Subnet]], Sequence[Measurement]],
    progress: Progress,
) -> Growth:
    """Measure batches until the error on unseen subnets is reached, samples stop helping, or the most are measured.

    Args:
        space: where subnets come from; the first batch is spread over MACs.
        target: what is measured on.
        settings: the cross-validated MAPE to reach, the most subnets, the seed of the choices.
        measure: all subnets so far to their measurements; those that are known already are not measured again.
        progress: told after each batch.
    """
    assert settings.until is not None
    most, seed = settings.count, settings.seed
    candidates = choose_subnets(space, min(_CANDIDATES, space.size // 2), seed + 1, "random")
    subnets = choose_subnets(space, min(_FIRST, most), seed)
    history: list[tuple[int, float]] = []
    while True:
        ran = [found for found in measure(subnets) if not found.failed]
        known = Measured([found.subnet for found in ran], [found.latency_ms for found in ran], target, space)
        error = fit(known, seed=seed).metrics["mape"]
        assert error is not None
        history.append((len(ran), error))
        going, reason = keep_going(history, settings.until)
        if going and len(subnets) >= most:
            going, reason = False, f"{len(subnets)} subnets are measured, the most that was asked for; {reason}"
        progress.note(reason)
        if not going:
            return Growth(subnets, tuple(history), reason)
        batch = min(max(FEWEST, int(_GROWTH * len(subnets))), most - len(subnets))
        subnets = [*subnets, *choose_next(known, candidates, subnets, batch, seed=seed)]
