"""Measure the best candidates; the best one that measures inside the budget wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vitas_hw.core.budget import Range, show_cost
from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.result import Candidate, best_first

FINALISTS = 5
_MOST_ROUNDS = 3


@dataclass(frozen=True)
class Verdict:
    """The choice, and every finalist's measured p50 in milliseconds by digest."""

    choice: Candidate
    measured_ms: dict[str, float]


def choose_measured(
    candidates: Sequence[Candidate],
    latency: Range | None,
    measure: Callable[[Sequence[Subnet]], Sequence[float]],
) -> Verdict:
    """Measure five finalists at a time, best top-1 first, until one lies inside the latency budget.

    After a round without one, the next finalists are those whose prediction, scaled by the last ones' median error,
    lies inside.

    Args:
        candidates: evaluated subnets, predicted inside the budget.
        latency: the budget; None takes the best.
        measure: subnets to p50 in milliseconds, all in one interleaved run.

    Raises:
        VitasError: none of the measured ones is inside.
    """
    waiting = list({c.subnet.digest: c for c in reversed(best_first(candidates))}.values())[::-1]  # the best of equals
    measured: dict[str, float] = {}
    correction = 1.0
    for _ in range(_MOST_ROUNDS):
        fitting = [c for c in waiting if latency is None or _inside(latency, (c.predicted_ms or 0) * correction)]
        finalists = fitting[:FINALISTS]
        if not finalists:
            break
        found = measure([candidate.subnet for candidate in finalists])
        measured |= {c.subnet.digest: float(ms) for c, ms in zip(finalists, found, strict=True)}
        for candidate in finalists:
            if latency is None or _inside(latency, measured[candidate.subnet.digest]):
                return Verdict(candidate, measured)
        ratios = [measured[c.subnet.digest] / c.predicted_ms for c in finalists if c.predicted_ms]
        correction = float(np.median(ratios)) if ratios else 1.0
        waiting = [candidate for candidate in waiting if candidate.subnet.digest not in measured]
    assert latency is not None
    nearest = min(measured.values(), key=latency.excess)
    raise VitasError(
        f"None of the {len(measured)} finalists measured inside the budget; the nearest took"
        f" {show_cost(nearest, 'latency_ms')}.",
        "Is the machine busy? Try again, profile anew (vitas-hw profile --fresh), or give a wider --latency.",
    )


def _inside(latency: Range, milliseconds: float) -> bool:
    return bool(latency.excess(milliseconds) <= 0)
