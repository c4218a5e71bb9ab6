"""Measuring many subnets: rounds in shuffled order, so that a slow minute of the machine hits all of them a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.backend import Backend
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.profile import Measurement, NoiseFloor
from vitas_hw.profiling.timing import Timing, time_session


def measure(
    backend: Backend,
    subnets: Sequence[Subnet],
    *,
    rounds: int,
    timing: Timing,
    seed: int,
    journal: Journal,
    name: str = "first",
    on_visit: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Visit every subnet ``rounds`` times, a session built anew each time, in an order shuffled each round.

    Args:
        backend: where.
        subnets: what, without repeats.
        rounds: visits to each.
        timing: how long a visit takes.
        seed: of the orders.
        journal: keeps each visit; those it already holds are not repeated.
        name: of this measurement in the journal.
        on_visit: called after each visit.

    Returns:
        One measurement a subnet, in the order given; a subnet that the backend refuses becomes a failed one.
    """
    for round_ in range(rounds):
        for index in np.random.default_rng([seed, round_]).permutation(len(subnets)):
            subnet = subnets[index]
            if subnet.digest not in journal.failures and (name, round_, subnet.digest) not in journal.visits:
                try:
                    samples = time_session(backend.open(subnet), timing)
                except (VitasError, MemoryError) as error:
                    journal.add_failure(subnet.digest, str(error) or type(error).__name__)
                else:
                    journal.add_visit(name, round_, subnet.digest, samples)
            on_visit()
    return [_measurement(subnet, journal, name, rounds) for subnet in subnets]


def noise_floor(first: Sequence[Measurement], second: Sequence[Measurement]) -> NoiseFloor | None:
    """From two measurements of the same subnets; those that failed in either are left out."""
    pairs = [(a.latency_ms, b.latency_ms) for a, b in zip(first, second, strict=True) if not (a.failed or b.failed)]
    return NoiseFloor.of([a for a, _ in pairs], [b for _, b in pairs])


def _measurement(subnet: Subnet, journal: Journal, name: str, rounds: int) -> Measurement:
    if subnet.digest in journal.failures:
        return Measurement(subnet, failed=journal.failures[subnet.digest])
    return Measurement(subnet, tuple(journal.visits[name, round_, subnet.digest] for round_ in range(rounds)))
