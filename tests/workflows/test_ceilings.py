"""Searches under several ceilings on one run: what is known of it, and how much of a ceiling is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations

import numpy as np
import pytest
from scored import score

from vitas_hw.core.budget import Budget
from vitas_hw.core.depths import identity_depths, uniform_depths
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.progress import SILENT
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.admission import NEAR, Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.choosing import recorded
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluations, Job
from vitas_hw.searching.optimizers.registry import OPTIMIZERS
from vitas_hw.searching.result import SearchResult
from vitas_hw.searching.scores import Score
from vitas_hw.workflows.search.closed_loop import OWN, ClosedLoop
from vitas_hw.workflows.search.settings import SearchSettings

Evaluate = Callable[[Sequence[Job]], Iterable[Score]]


class PerMac:
    """Predicts a millisecond per ten million MACs and a block a tenth."""

    def predict_columns(self, columns: SubnetColumns) -> PerMac:
        self.latency_ms = operators(columns).macs / 1e7
        return self


def by_chance(jobs: Sequence[Job]) -> list[Score]:
    """Nothing but chance tells subnets apart, so that a search of its own finds now better, now worse."""
    return [score(np.random.default_rng(int(job[0].subnet.digest, 16)).random()) for job in jobs]


def larger_is_better(jobs: Sequence[Job]) -> list[Score]:
    """The loss falls with the logarithm of the MACs, and chance is worth a third of them."""
    found = []
    for candidate, _ in jobs:
        rng = np.random.default_rng(int(candidate.subnet.digest, 16))
        found.append(score(0.1 * np.log(candidate.subnet.macs) - 1.2 + rng.normal(0, 0.03)))
    return found


class KilledError(Exception):
    pass


class Runs:
    """The searches of one run, as ``search_run`` makes them."""

    def __init__(self, space: SearchSpace, evaluate: Evaluate, factor: float | None = 1.0, **settings: object) -> None:
        self.space, self.factor = space, factor
        self.archive, self.evaluated = Archive(), 0
        self.measured, self.lives = 0, np.inf
        self.settings = SearchSettings(**({"population": 6, "generations": 3} | settings))  # type: ignore[arg-type]
        self._evaluate = evaluate

    def search(self, **budget: str) -> SearchResult:
        asked = Budget.parse(**budget)

        def evaluate(jobs: Sequence[Job]) -> Iterable[Score]:
            for one in self._evaluate(jobs):
                self.evaluated += 1
                yield one

        def measure(subnets: Sequence[Subnet]) -> list[float]:
            found = [subnet.macs / 1e7 * (self.factor or 1.0) for subnet in subnets]
            self.measured += len(subnets)
            if self.measured > self.lives:
                raise KilledError
            return found

        name = str(asked)
        first = self.archive.begin(name)
        result = ClosedLoop(
            Costs(self.space, PerMac()),
            asked,
            Evaluations(evaluate, archive=self.archive),
            self.settings,
            SILENT,
            {OWN: recorded(measure, self.archive, name, OWN)} if self.factor and asked.latency_ms else {},
            first=first,
            earlier_ms={OWN: self.archive.latencies(OWN)},
        ).run()
        self.archive.end(name)
        return result


def loss(result: SearchResult) -> float:
    assert result.choice.loss is not None
    return result.choice.loss


@pytest.mark.parametrize(
    ("cost", "ceilings", "factor"),
    [("latency", ("1ms", "2ms", "4ms", "8ms"), 1.15), ("flops", ("10M", "20M", "40M"), None)],
    ids=["latency", "flops"],
)
def test_a_larger_ceiling_never_gets_a_worse_choice_in_any_order(
    cost: str, ceilings: tuple[str, ...], factor: float | None, digits: SearchSpace
) -> None:
    for order in list(permutations(ceilings))[:: 5 if factor else 1]:
        runs = Runs(digits, by_chance, factor, optimizer="random")
        found: dict[str, float] = {}
        for ceiling in order:
            found[ceiling] = loss(runs.search(**{cost: ceiling}))
            smaller = [found[one] for one in ceilings[: ceilings.index(ceiling)] if one in found]
            assert found[ceiling] <= min(smaller, default=np.inf), order


def test_known_subnets_cost_nothing_and_are_not_asked_for_again(digits: SearchSpace) -> None:
    runs = Runs(digits, by_chance, None, optimizer="random")
    small, large = runs.search(flops="20M"), runs.search(flops="40M")
    assert runs.evaluated == 36
    assert {one.subnet for one in small.candidates} < {one.subnet for one in large.candidates}
    assert (small.known, large.known) == (0, 18)
    assert large.candidates[:18] == small.candidates
    assert len(large.candidates) == len({one.subnet for one in large.candidates}) == 36


def test_a_repeated_search_evaluates_nothing_and_may_choose_what_others_found_since(digits: SearchSpace) -> None:
    runs = Runs(digits, by_chance, None, optimizer="random")
    first = runs.search(flops="40M")
    again = runs.search(flops="40M")
    assert (again.candidates, again.choice) == (first.candidates, first.choice)
    assert runs.evaluated == 18
    small = runs.search(flops="20M")
    evaluated, known = runs.evaluated, runs.search(flops="40M")
    assert runs.evaluated == evaluated
    assert loss(known) == min(loss(first), loss(small))


def test_a_search_killed_after_a_miss_goes_on_as_if_never_killed(digits: SearchSpace) -> None:
    whole = Runs(digits, by_chance, 3.0, optimizer="random")
    expected = whole.search(latency="5ms")
    assert len(expected.rounds) > 1
    killed = Runs(digits, by_chance, 3.0, optimizer="random")
    killed.lives = 5
    with pytest.raises(KilledError):  # in the second round, after new evaluations
        killed.search(latency="5ms")
    assert killed.evaluated > 18
    killed.lives, before = np.inf, killed.evaluated
    again = killed.search(latency="5ms")
    assert again == expected
    assert killed.evaluated == whole.evaluated
    assert before <= killed.evaluated


def test_one_measured_inside_by_an_earlier_search_is_known_though_predicted_outside(digits: SearchSpace) -> None:
    runs = Runs(digits, larger_is_better, 0.5)  # twice as fast as predicted
    outside = digits.decode(Admission(Costs(digits), Budget.parse(flops="90M")).draw(1, np.random.default_rng(0))[0])
    key = (outside.digest, None, 0)
    runs.archive.add(key, score(1.9), digits.encode(outside))
    runs.archive.add_measured("earlier", OWN, {outside.digest: outside.macs / 2e7})
    assert runs.search(latency="6ms").choice.subnet == outside
    assert runs.search(latency="4ms").choice.subnet != outside


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_from_what_is_known(optimizer: str, digits: SearchSpace) -> None:
    runs = Runs(digits, larger_is_better, None, optimizer=optimizer)
    runs.search(flops="10M")
    second = runs.search(flops="20M")
    assert len(second.candidates) >= 30
    assert len({one.subnet for one in second.candidates}) == len(second.candidates)
    assert all(one.subnet.macs <= 20e6 for one in second.candidates)


@pytest.mark.parametrize(
    ("cost", "ceiling"), [("flops", "10M"), ("flops", "20M"), ("flops", "40M"), ("latency", "3ms")], ids=str
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_where_larger_subnets_are_better_most_of_the_ceiling_is_used(
    optimizer: str, cost: str, ceiling: str, digits: SearchSpace
) -> None:
    budget = Budget.parse(**{cost: ceiling})
    choice = Runs(digits, larger_is_better, 1.0, optimizer=optimizer).search(**{cost: ceiling}).choice
    (load,) = Costs(digits, PerMac()).standing(digits.encode(choice.subnet)[None], budget)[1]
    assert 0.8 < load <= 1.0


@pytest.mark.parametrize("flops", ["10M", "20M", "40M", "15M-16M"])
def test_draws_lie_near_the_ceiling_and_every_depth_that_gets_there_has_its_share(
    flops: str, digits: SearchSpace
) -> None:
    costs, budget = Costs(digits), Budget.parse(flops=flops)
    codes = Admission(costs, budget).draw(260, np.random.default_rng(0))
    excess, load = costs.standing(codes, budget)
    assert len(np.unique(codes, axis=0)) == 260
    assert (excess <= 0).all()
    assert (load >= NEAR).all()
    deepest = max(int(digits.depths(digits.encode(digits.smallest)[None])[0]), 8 if flops == "10M" else 14)
    counts = np.bincount(digits.depths(codes), minlength=17)[2 : deepest + 1]
    shares = counts[counts > 0] / 260
    assert len(shares) >= 6
    assert shares.min() > 0.7 / len(shares)


def test_draws_follow_the_shares_that_were_trained(digits: SearchSpace) -> None:
    budget, rng = Budget.parse(flops="20M"), np.random.default_rng(0)
    mean = {}
    for name, depths in (("uniform", uniform_depths(digits)), ("few", identity_depths(digits, 0.8))):
        codes = Admission(Costs(digits), budget, depths=depths).draw(200, rng)
        mean[name] = digits.depths(codes).mean()
    few = np.dot(identity_depths(digits, 0.8), np.arange(digits.depth[0], digits.depth[1] + 1))
    assert mean["few"] == pytest.approx(few, abs=0.4)
    assert mean["uniform"] > mean["few"] + 2


def test_a_front_is_drawn_over_the_whole_budget(digits: SearchSpace) -> None:
    costs, budget = Costs(digits), Budget.parse(flops="40M")
    codes = Admission(costs, budget, near=False).draw(200, np.random.default_rng(0))
    load = costs.standing(codes, budget)[1]
    assert np.quantile(load, 0.1) < 0.4
