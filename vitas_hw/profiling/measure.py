"""Measuring many subnets: rounds in shuffled order, so that a slow minute of the machine hits all of them a little.

Visits on a machine that was loud or changed meanwhile are repeated; the last round's visits go where they tell most: to
the subnets whose quiet latency is least sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.estimate import QUIET, Visits, estimate
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.noise import NoiseFloor
from vitas_hw.profiling.profile import Measurement
from vitas_hw.profiling.timing import Visit
from vitas_hw.profiling.worker import SubnetFailedError, Worker

STEADY = 0.15  # most relative change of the anchor across a visit
LOUD = 0.3  # most that the anchor takes longer than on the quiet machine
ATTEMPTS = 3  # at one visit; that of the steadiest and quietest machine counts
_HOPELESS = 5  # failures in a row, and nothing else: the fault is not the subnets'
_FEWEST_ROUNDS = 3  # for the last of them to be shared out: two visits tell how far a subnet's differ
_PORTIONS = 4  # of that round's visits, each given out by what is known then
_PORTION = 5  # subnets at least: each portion is measured by a process of its own
_MOST_REPEATED = 0.5  # visits for each of a round's subnets, because the machine was loud


@dataclass(frozen=True)
class Pass:
    """An attempt at a round of a measurement: of ``order``, what is unsettled when its turn comes is visited.

    An anchor above ``loud_ms`` tells of a loud machine.
    """

    name: str
    round_: int
    attempt: int
    order: tuple[Subnet, ...]
    loud_ms: float = math.inf

    def unsettled(self, journal: Journal, subnet: Subnet) -> bool:
        """Whether this visit is still to be made, or to be repeated in this attempt."""
        visits = journal.attempts.get((self.name, self.round_, subnet.digest), [])
        if journal.is_out(subnet.digest) or len(visits) > self.attempt:
            return False
        if not visits or visits[-1].unsteadiness > STEADY:
            return True
        if visits[-1].anchor_ms <= self.loud_ms:
            return False
        round_ = (self.name, self.round_)
        repeats = sum(len(made) - 1 for key, made in journal.attempts.items() if key[:2] == round_)
        return repeats < max(_MOST_REPEATED * len(self.order), 1)


def passes(
    plan: Mapping[str, Sequence[Subnet]], *, rounds: int, seed: int, journal: Journal | None = None
) -> Iterator[Pass]:
    """All attempts at all rounds of each named measurement in turn; a pass begins when the one before it is over.

    Each round has an order of its own. With a journal, and three rounds or more, the last one's visits are given out in
    portions, each a round of its own, to the subnets whose quiet latency is then least sure.

    Args:
        plan: the subnets of each measurement.
        rounds: visits to each; with a journal, on average.
        seed: of the orders.
        journal: that holds the visits of all passes before the one asked for; None where nobody can look into it.
    """
    for name, subnets in plan.items():
        sizes = _portions(len(subnets), rounds) if journal is not None else []
        everywhere = rounds - 1 if sizes else rounds
        for round_ in range(everywhere):
            order = _shuffled(subnets, seed, round_)
            for attempt in range(ATTEMPTS):
                loud_ms = _loud_ms(journal, name, round_) if journal is not None and attempt else math.inf
                yield Pass(name, round_, attempt, order, loud_ms)
        for round_, size in enumerate(sizes, everywhere):
            assert journal is not None
            order = _least_sure(journal, name, _shuffled(subnets, seed, round_), round_)[:size]
            for attempt in range(ATTEMPTS):  # what a loud machine was asked here the next portion asks again
                yield Pass(name, round_, attempt, order)


def measure(
    meter: Worker,
    subnets: Sequence[Subnet],
    *,
    rounds: int,
    seed: int,
    journal: Journal,
    name: str = "first",
    on_round: Callable[[str, int], None] = lambda name, round_: None,  # noqa: ARG005
    on_visit: Callable[[], None] = lambda: None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> bool:
    """Visit the subnets ``rounds`` times on average, everything built anew each time, in the order of ``passes``.

    A visit during which the anchor changed, or took much longer than on the quiet machine, is repeated at the end of
    its round, at most twice.

    Args:
        meter: where.
        subnets: what, without repeats.
        rounds: visits to each, on average.
        seed: of the orders.
        journal: keeps each visit; those it already holds are not repeated.
        name: of this measurement in the journal.
        on_round: called before a round of which anything is left to do.
        on_visit: called ``rounds`` times for each subnet, on average.
        time_is_up: asked before each visit; when it is, nothing more is measured.

    Returns:
        Whether all visits are made.

    Raises:
        VitasError: nothing runs at all, or the measuring process cannot start.
    """
    begun = -1
    for pass_ in passes({name: subnets}, rounds=rounds, seed=seed, journal=journal):
        for subnet in pass_.order:
            if pass_.unsettled(journal, subnet):
                if time_is_up():
                    return False
                if begun < pass_.round_:
                    meter.renew(name)
                    on_round(name, pass_.round_)
                    begun = pass_.round_
                _visit(meter, subnet, journal, pass_)
            if pass_.attempt == 0:
                on_visit()
    return True


def measurements(journal: Journal, subnets: Sequence[Subnet], name: str, rounds: int) -> list[Measurement]:
    """One measurement a subnet, in the order given, its drift relative to ``anchor_ms`` of the whole journal.

    A subnet that has neither been visited nor failed is left out.
    """
    readings, usual_ms = _readings(journal), anchor_ms(journal)
    quiet_ms = float(np.percentile(readings, QUIET)) if readings else float("nan")
    found = (_measurement(journal, subnet, name, rounds, usual_ms, quiet_ms) for subnet in subnets)
    return [measurement for measurement in found if measurement is not None]


def anchor_ms(journal: Journal) -> float:
    """The anchor's p50 over all visits: the machine as it was half of the time. NaN before any visit."""
    readings = _readings(journal)
    return float(np.median(readings)) if readings else float("nan")


def _readings(journal: Journal) -> list[float]:
    return [visit.anchor_ms for visits in journal.attempts.values() for visit in visits]


def noise_floor(first: Sequence[Measurement], second: Sequence[Measurement]) -> NoiseFloor | None:
    """From two measurements of the same subnets; those missing from either, or failed, are left out."""
    again = {measurement.subnet: measurement for measurement in second if not measurement.failed}
    pairs = [(a.latency_ms, again[a.subnet].latency_ms) for a in first if not a.failed and a.subnet in again]
    return NoiseFloor.of([a for a, _ in pairs], [b for _, b in pairs])


def keep_failure(journal: Journal, subnet: Subnet, reason: str, *, passing: bool = False) -> None:
    """Note that a subnet cannot run, or did not run this time where the reason may pass.

    Raises VitasError if none has run so far: the fault is not theirs.
    """
    journal.add_failure(subnet.digest, reason, passing=passing)
    failed = len(journal.failures) + len(journal.passing)
    if failed >= _HOPELESS and not journal.attempts:
        raise VitasError(
            f"None of the first {failed} subnets runs; the last one's reason: {reason}",
            step="doctor",
        )


def _visit(meter: Worker, subnet: Subnet, journal: Journal, pass_: Pass) -> None:
    try:
        journal.add_visit(pass_.name, pass_.round_, subnet.digest, meter.visit(subnet))
    except SubnetFailedError as error:
        keep_failure(journal, subnet, str(error), passing=error.passing)


def _shuffled(subnets: Sequence[Subnet], seed: int, round_: int) -> tuple[Subnet, ...]:
    return tuple(subnets[index] for index in np.random.default_rng([seed, round_]).permutation(len(subnets)))


def _loud_ms(journal: Journal, name: str, round_: int) -> float:
    """The anchor on a loud machine, by the first attempts up to this round alone: a profiling that goes on judges as it
    would have.
    """
    known = [made[0].anchor_ms for key, made in journal.attempts.items() if key[0] == name and key[1] <= round_]
    return (1 + LOUD) * float(np.percentile(known, QUIET)) if known else math.inf


def _disturbance(visit: Visit, quiet_ms: float) -> float:
    """How far the machine was from steady and quiet; 1 is the limit."""
    return max(visit.unsteadiness / STEADY, (visit.anchor_ms / quiet_ms - 1) / LOUD)


def _portions(subnets: int, rounds: int) -> list[int]:
    """How many subnets are visited in each portion of the last round; empty where that is a round like any other."""
    if rounds < _FEWEST_ROUNDS:
        return []
    count = min(max(subnets // _PORTION, 1), _PORTIONS)
    return [len(portion) for portion in np.array_split(np.arange(subnets), count)]


def _least_sure(journal: Journal, name: str, subnets: Sequence[Subnet], round_: int) -> tuple[Subnet, ...]:
    """The subnets, those first whose quiet latency is least sure by the visits of earlier rounds alone.

    Nothing else counts, so that a profiling that goes on gives the rest out as it would have.
    """
    earlier = [key for key in journal.attempts if key[0] == name and key[1] < round_]
    readings = [visit.anchor_ms for key in earlier for visit in journal.attempts[key]]
    reference = float(np.median(readings)) if readings else 1.0
    quiet = float(np.percentile(readings, QUIET)) if readings else 1.0
    visits = {subnet: _quietest(journal, subnet, name, round_, quiet) for subnet in subnets}
    known = [subnet for subnet in subnets if visits[subnet]]
    if not known:
        return tuple(subnets)
    found = estimate(
        Visits.of(
            [[visit.samples_ms for visit in visits[subnet]] for subnet in known],
            [[visit.anchor_ms / reference for visit in visits[subnet]] for subnet in known],
        )
    )
    errors = dict(zip(known, found.assumed if found.error is None else found.error, strict=True))
    return tuple(sorted(subnets, key=lambda subnet: -errors.get(subnet, 0.0)))


def _quietest(journal: Journal, subnet: Subnet, name: str, rounds: int, quiet_ms: float) -> list[Visit]:
    """Of each round the attempt during which the machine was steadiest and quietest."""
    made = [journal.attempts.get((name, round_, subnet.digest), []) for round_ in range(rounds)]
    return [min(attempts, key=lambda visit: _disturbance(visit, quiet_ms)) for attempts in made if attempts]


def _measurement(
    journal: Journal, subnet: Subnet, name: str, rounds: int, reference: float, quiet_ms: float
) -> Measurement | None:
    if subnet.digest in journal.failures:
        return Measurement(subnet, failed=journal.failures[subnet.digest])
    most = rounds if rounds < _FEWEST_ROUNDS else rounds - 1 + _PORTIONS
    visits = _quietest(journal, subnet, name, most, quiet_ms)
    if not visits:
        reason = journal.passing.get(subnet.digest)
        return None if reason is None else Measurement(subnet, failed=reason)
    peaks = [visit.peak_bytes for visit in visits if visit.peak_bytes is not None]
    return Measurement(
        subnet,
        tuple(visit.samples_ms for visit in visits),
        tuple(visit.anchor_ms / reference for visit in visits),
        peak_bytes=max(peaks, default=None),
    )
