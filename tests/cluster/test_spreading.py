"""Evaluations spread over a made-up pool whose workers finish in any order, and may die."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count

import numpy as np
import pytest
from scored import score

from vitas_hw.cluster.evaluate import MOST_LOSSES, SpreadEvaluate
from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import SILENT
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluate, Evaluations, Job, explore
from vitas_hw.searching.optimizers.registry import OPTIMIZERS, make_optimizer
from vitas_hw.searching.result import candidate_of
from vitas_hw.searching.scores import Score
from vitas_hw.workflows.search.scoring import in_order


class Scorer:
    def __call__(self, job: Job) -> Score:
        code = np.asarray(job[0].code)
        return score(float(code.mean() / code.max()))

    def to(self, device: str) -> Scorer:
        return self


class FakePool:
    """Finishes in a drawn order; ``dies`` says which evaluation (in the order of their starts) ends its worker."""

    def __init__(self, places: int, dies: Callable[[int], bool] = lambda _: False) -> None:
        self.places = places
        self._dies, self._rng, self._tickets, self._started = dies, np.random.default_rng(0), count(), 0
        self._answers: dict[int, Score | str | None] = {}
        self._alive: set[int] = set()
        self.busiest = 0

    def hire(self, place: int) -> int:
        self._alive.add(place)
        return self._ticket(None)

    def evaluate(self, place: int, job: Job) -> int:
        assert place in self._alive
        self._started += 1
        if self._dies(self._started):
            self._alive.remove(place)
            return self._ticket("The worker died.")
        return self._ticket(Scorer()(job))

    def first_done(self, tickets: Collection[int], timeout_s: float | None) -> int:
        self.busiest = max(self.busiest, len(tickets))
        return int(self._rng.choice(sorted(tickets)))

    def result(self, ticket: int) -> Score | str | None:
        return self._answers.pop(ticket)  # each is asked for once

    def _ticket(self, answer: Score | str | None) -> int:
        ticket = next(self._tickets)
        self._answers[ticket] = answer
        return ticket


def searched(space: SearchSpace, optimizer: str, evaluate: Evaluate, archive: Archive) -> list[object]:
    costs = Costs(space)
    asked = make_optimizer(optimizer, Admission(costs, Budget()), population=8, generations=4)
    return list(explore(asked, Evaluations(evaluate, archive=archive), costs, 32))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_candidates_and_archive_are_those_of_a_serial_search(optimizer: str, small: SearchSpace) -> None:
    alone, spread = Archive(), Archive()
    expected = searched(small, optimizer, in_order(Scorer()), alone)
    pool = FakePool(5, dies=lambda number: number % 11 == 0)
    assert searched(small, optimizer, SpreadEvaluate(pool, SILENT), spread) == expected
    assert list(spread._scores.items()) == list(alone._scores.items())
    if optimizer != "regularized-evolution":  # which asks for one child at a time
        assert pool.busiest == 5


def jobs(space: SearchSpace, number: int) -> list[Job]:
    return [(candidate_of(space, code), 0) for code in space.sample_codes(number, np.random.default_rng(0))]


def test_a_lost_worker_costs_a_retry(small: SearchSpace) -> None:
    wanted = jobs(small, 20)
    pool = FakePool(1, dies=lambda number: number in (3, 9))
    assert list(SpreadEvaluate(pool, SILENT)(wanted)) == [Scorer()(job) for job in wanted]


def test_a_job_that_ends_every_worker_ends_the_search(small: SearchSpace) -> None:
    with pytest.raises(
        VitasError, match=rf"One evaluation has ended {MOST_LOSSES} workers; the last one said: .*died.*to resume"
    ):
        list(SpreadEvaluate(FakePool(8, dies=lambda _: True), SILENT)(jobs(small, 1)))


def test_without_any_worker_left_it_ends(small: SearchSpace) -> None:
    class Unable(FakePool):
        def hire(self, place: int) -> int:
            return self._ticket("It has no such library.")

    with pytest.raises(VitasError, match=r"All workers are lost.*ray status"):
        list(SpreadEvaluate(Unable(2), SILENT)(jobs(small, 3)))


def test_without_a_worker_in_time_it_ends(small: SearchSpace) -> None:
    class Busy(FakePool):
        def first_done(self, tickets: Collection[int], timeout_s: float | None) -> int | None:  # type: ignore[override]
            assert timeout_s is not None
            return None

    with pytest.raises(VitasError, match=r"No worker was ready within .* all of the cluster may be in use"):
        list(SpreadEvaluate(Busy(2), SILENT)(jobs(small, 3)))


def test_a_batch_that_is_left_early_leaves_its_workers_usable(small: SearchSpace) -> None:
    evaluate = SpreadEvaluate(FakePool(3), SILENT)
    wanted = jobs(small, 9)
    first = iter(evaluate(wanted))
    next(first)
    first.close()  # type: ignore[attr-defined]
    assert list(evaluate(wanted[4:])) == [Scorer()(job) for job in wanted[4:]]
