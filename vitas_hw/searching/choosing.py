"""Finalists measured side by side, and the best of them that keeps every latency."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vitas_hw.core.budget import Range
from vitas_hw.core.deadline import NEVER, Deadline
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.result import Candidate, best_first

Measure = Callable[[Sequence[Subnet]], Sequence[float]]  # p50 in milliseconds of an interleaved run, or bytes
Predict = Callable[[Sequence[Subnet]], Sequence[float | None]]
Order = Callable[[Sequence[Candidate]], list[Candidate]]
FINALISTS = 5
MOST_ROUNDS = 3  # of finalists


def _unknown(subnets: Sequence[Subnet]) -> list[float | None]:
    return [None] * len(subnets)


@dataclass
class Timed:
    """The latency of candidates on one target, or their memory there.

    Args:
        bounds: what is allowed; None is anything.
        measure: on the target; None if that is not here: the search has then kept to upper bounds of the prediction.
        predict: in milliseconds, or bytes.
        margin: share of the ceiling to stay below, so that the choice also measures inside on another day.
        earlier: by digest, as measured by earlier searches of the same run.
        cost: ``latency_ms`` or ``memory_bytes``.
    """

    bounds: Range | None
    measure: Measure | None
    predict: Predict = _unknown
    margin: float = 0.0
    earlier: Mapping[str, float] = field(default_factory=dict)
    cost: str = "latency_ms"
    measured: dict[Subnet, float] = field(default_factory=dict, init=False)

    def correction(self) -> float:
        """The median of what measured latencies are in units of predicted ones; 1 where none is known."""
        predicted = self.predict(list(self.measured))
        ratios = [ms / told for ms, told in zip(self.measured.values(), predicted, strict=True) if told]
        return float(np.median(ratios)) if ratios else 1.0

    def promising(self, subnets: Sequence[Subnet]) -> list[bool]:
        """Whether each is expected inside: by an earlier measurement, else by the prediction scaled by its errors."""
        if self.bounds is None or self.measure is None:
            return [True] * len(subnets)
        correction = self.correction()
        expected = [
            self.earlier.get(subnet.digest, (told or 0.0) * correction)
            for subnet, told in zip(subnets, self.predict(subnets), strict=True)
        ]
        return [self._keeps(self.bounds, ms) for ms in expected]

    def take(self, subnets: Sequence[Subnet]) -> None:
        """Measure them, if that can be done here."""
        if self.measure is not None:
            self.measured |= {one: float(ms) for one, ms in zip(subnets, self.measure(subnets), strict=True)}

    def keeps(self, subnet: Subnet, *, safely: bool = False) -> bool:
        """Whether a measured subnet lies inside, ``safely`` by the margin too; of what cannot be measured, yes."""
        if self.bounds is None or self.measure is None:
            return True
        bounds = _below(self.bounds, self.margin) if safely else self.bounds
        return subnet in self.measured and self._keeps(bounds, self.measured[subnet])

    @staticmethod
    def _keeps(bounds: Range, milliseconds: float) -> bool:
        return bool(bounds.excess(milliseconds) <= 0)


def choose_measured(
    candidates: Sequence[Candidate],
    targets: Sequence[Timed],
    *,
    order: Order = best_first,
    patient: bool = False,
) -> Candidate | None:
    """Measure five finalists at a time, the most wanted first, until one lies inside on every target.

    After a round that is all outside there is no choice, unless it is ``patient``: then the next finalists are those
    whose prediction, scaled by the median error of all that were measured, lies inside. One that keeps a ceiling but
    not its margin is taken where none of a few rounds keeps the margin.

    Args:
        candidates: evaluated subnets, predicted inside.
        targets: where latency matters; what is measured of them is kept there.
        order: which candidates are wanted most.
        patient: go on after a round of misses.
    """
    waiting = list({one.subnet: one for one in reversed(order(candidates))}.values())[::-1]  # the best of equals
    for _ in range(MOST_ROUNDS):
        left = [
            one for one in waiting if not all(one.subnet in target.measured for target in targets if target.measure)
        ]
        promising = zip(*(target.promising([one.subnet for one in left]) for target in targets), strict=True)
        finalists = [one for one, each in zip(left, promising, strict=True) if all(each)][:FINALISTS]
        if not finalists:
            break
        for target in targets:
            target.take([one.subnet for one in finalists])
        for one in finalists:
            if all(target.keeps(one.subnet, safely=True) for target in targets):
                return one
        if not patient and not any(inside(one, targets) for one in finalists):
            return None
    return next((one for one in waiting if inside(one, targets)), None)


def inside(candidate: Candidate, targets: Sequence[Timed]) -> bool:
    """Whether it measured inside wherever that can be measured."""
    return all(target.keeps(candidate.subnet) for target in targets)


def recorded(measure: Measure, archive: Archive, search: str, target: str, deadline: Deadline = NEVER) -> Measure:
    """``measure`` that first gives the rounds which an unfinished search has recorded, and records new ones but for one
    that the time may have cut short.
    """
    rounds: Iterator[dict[str, float]] = iter(archive.measured(search, target))

    def measured(subnets: Sequence[Subnet]) -> list[float]:
        digests = [subnet.digest for subnet in subnets]
        kept = next(rounds, {})
        if set(kept) == set(digests):
            return [kept[digest] for digest in digests]
        found = [float(ms) for ms in measure(subnets)]
        if not deadline.over():
            archive.add_measured(search, target, dict(zip(digests, found, strict=True)))
        return found

    return measured


def recorded_each(
    measure: Callable[[Subnet], float], archive: Archive, search: str, target: str, deadline: Deadline
) -> Measure:
    """The same of what is measured one subnet after the other, and kept as soon as it is. Raises TimeIsUpError."""

    def measured(subnets: Sequence[Subnet]) -> list[float]:
        known = {digest: found for one in archive.measured(search, target) for digest, found in one.items()}
        for subnet in subnets:
            if subnet.digest not in known:
                deadline.check("the finalists were measured")
                known[subnet.digest] = float(measure(subnet))
                archive.add_measured(search, target, {subnet.digest: known[subnet.digest]})
        return [known[subnet.digest] for subnet in subnets]

    return measured


def _below(latency: Range, margin: float) -> Range:
    if latency.high is None:
        return latency
    high = latency.high * (1 - margin)
    return latency if latency.low is not None and high <= latency.low else Range(latency.low, high)
