"""Measure the best candidates; the best one that measures inside the budget wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class NoneInsideError(VitasError):
    """No finalist measured inside the budget; ``measured_ms`` is by digest."""

    def __init__(self, problem: str, hint: str, measured_ms: dict[str, float]) -> None:
        super().__init__(problem, hint)
        self.measured_ms = measured_ms


def choose_measured(
    candidates: Sequence[Candidate],
    latency: Range | None,
    measure: Callable[[Sequence[Subnet]], Sequence[float]],
    *,
    margin: float = 0.0,
    known: Mapping[str, float] | None = None,
    order: Callable[[Sequence[Candidate]], list[Candidate]] = best_first,
) -> Verdict:
    """Measure five finalists at a time, the most wanted first, until one lies inside the latency budget.

    After a round without one, the next finalists are those whose prediction, scaled by the median error of all that
    were measured, lies inside.

    Args:
        candidates: evaluated subnets, predicted inside the budget.
        latency: the budget; None takes the best.
        measure: subnets to p50 in milliseconds, all in one interleaved run.
        margin: share of the ceiling to stay below, so that the choice also measures inside on another day; one that
            only keeps the ceiling itself is taken where none keeps the margin.
        known: digest to milliseconds, measured before.
        order: which candidates are wanted most.

    Raises:
        NoneInsideError: none of the measured ones is inside.
    """
    waiting = list({c.subnet.digest: c for c in reversed(order(candidates))}.values())[::-1]  # the best of equals
    measured = dict(known or {})
    safe = None if latency is None else _below(latency, margin)
    for _ in range(_MOST_ROUNDS):
        correction = correction_of(waiting, measured)
        fitting = [
            c
            for c in waiting
            if c.subnet.digest not in measured
            and (latency is None or _inside(latency, (c.predicted_ms or 0) * correction))
        ]
        finalists = fitting[:FINALISTS]
        if not finalists:
            break
        found = measure([candidate.subnet for candidate in finalists])
        measured |= {c.subnet.digest: float(ms) for c, ms in zip(finalists, found, strict=True)}
        for candidate in finalists:
            if safe is None or _inside(safe, measured[candidate.subnet.digest]):
                return Verdict(candidate, measured)
    assert latency is not None
    for candidate in waiting:
        if candidate.subnet.digest in measured and _inside(latency, measured[candidate.subnet.digest]):
            return Verdict(candidate, measured)
    nearest = min(measured.values(), key=latency.excess)
    raise NoneInsideError(
        f"None of the {len(measured)} finalists measured inside the budget; the nearest took"
        f" {show_cost(nearest, 'latency_ms')}.",
        "Is the machine busy? Try again, profile anew (vitas-hw profile --fresh), or give a wider --latency.",
        measured,
    )


def correction_of(candidates: Sequence[Candidate], measured: Mapping[str, float]) -> float:
    """The median of what measured latencies (by digest) are in units of predicted ones; 1 where none is known."""
    ratios = [
        measured[c.subnet.digest] / c.predicted_ms for c in candidates if c.predicted_ms and c.subnet.digest in measured
    ]
    return float(np.median(ratios)) if ratios else 1.0


def _below(latency: Range, margin: float) -> Range:
    if latency.high is None:
        return latency
    high = latency.high * (1 - margin)
    return latency if latency.low is not None and high <= latency.low else Range(latency.low, high)


def _inside(latency: Range, milliseconds: float) -> bool:
    return bool(latency.excess(milliseconds) <= 0)
