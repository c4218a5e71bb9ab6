from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.progress import SILENT
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluations, Job
from vitas_hw.searching.optimizers.base import Evolution
from vitas_hw.searching.result import knee_first
from vitas_hw.workflows.search.closed_loop import ClosedLoop, recorded, result_of
from vitas_hw.workflows.search.evaluations import part_shares
from vitas_hw.workflows.search.settings import SearchSettings, parse_latencies, search_settings


class PerMac:
    def predict_columns(self, columns: SubnetColumns) -> PerMac:
        self.latency_ms = operators(columns).macs / 1e7
        return self


def loop(space: SearchSpace, factor: float | None, ceiling: str, archive: Archive | None = None) -> ClosedLoop:
    """Top-1 grows with the MACs; the device takes ``factor`` times the prediction."""

    def evaluate(jobs: Sequence[Job]) -> list[float]:
        return [space.decode(code).macs / space.largest.macs for code, _ in jobs]

    def measure(subnets: Sequence[Subnet]) -> list[float]:
        return [subnet.macs / 1e7 * (factor or 1) for subnet in subnets]

    settings = SearchSettings(evolution=Evolution(population=8, generations=3))
    budget = Budget.parse(latency=ceiling)
    evaluations = Evaluations(space, evaluate, archive=archive or Archive())
    return ClosedLoop(Costs(space, PerMac()), budget, evaluations, settings, SILENT, measure if factor else None)


def test_the_search_goes_on_until_the_choice_measures_inside(digits: SearchSpace) -> None:
    settled = loop(digits, 3.0, "5ms").run()
    choice = settled.verdict.choice
    assert settled.verdict.measured_ms[choice.subnet.digest] <= 5.0
    assert settled.correction == pytest.approx(3.0)
    assert len(settled.candidates) >= 24


class Linear:
    """Predicts milliseconds from MACs; ``samples`` it was fitted to."""

    def __init__(self, offset: float, samples: int) -> None:
        self.offset, self.samples = offset, samples

    def predict_columns(self, columns: SubnetColumns) -> Linear:
        self.latency_ms = operators(columns).macs / 1e7 + self.offset
        return self


def test_after_misses_the_predictor_is_fitted_anew_and_every_round_is_told(digits: SearchSpace) -> None:
    asked: list[dict[Subnet, float]] = []

    def refit(measured: Mapping[Subnet, float]) -> Linear:
        asked.append(dict(measured))
        return Linear(4.6, 100 + len(measured))

    one = loop(digits, 1.0, "5ms")
    one.costs, one.refit = Costs(digits, Linear(0.0, 100)), refit  # type: ignore[assignment]
    one.measure = lambda subnets: [subnet.macs / 1e7 + 4.6 for subnet in subnets]
    settled = one.run()
    choice = settled.verdict.choice
    assert settled.verdict.measured_ms[choice.subnet.digest] <= 5.0
    assert len(asked) == 1
    assert choice.predicted_ms == pytest.approx(choice.subnet.macs / 1e7 + 4.6)
    assert settled.correction == pytest.approx(1.0)
    first, last = one.rounds[0], one.rounds[-1]
    assert set(first.violations) == set(first.measured_ms)
    assert (first.samples, last.samples) == (100, 100 + len(asked[0]))
    assert choice.subnet.digest not in last.violations
    for digest, ms in first.measured_ms.items():
        assert ms == pytest.approx(first.predicted_ms[digest] + 4.6)
    for digest, ms in last.measured_ms.items():
        assert ms == pytest.approx(last.predicted_ms[digest])
    assert {s.digest for s in one.measured} == {digest for told in one.rounds for digest in told.measured_ms}


def test_of_a_front_the_knee_is_chosen_unless_the_best_is_asked_for(digits: SearchSpace) -> None:
    chosen = {}
    for choose in (None, "best"):
        one = loop(digits, None, "50ms")
        one.settings = replace(
            search_settings(pareto="latency,top1", choose=choose, population=8, generations=3), seed=1
        )
        settled = one.run()
        chosen[choose] = settled.verdict.choice
        front = result_of(one, settled, {}).front
        assert chosen[choose] in front
        assert len(front) > 2
    assert chosen["best"] == front[-1]
    assert chosen[None] == knee_first(settled.candidates, "latency_ms")[0] != front[-1]


def test_time_ends_a_continued_search_too(digits: SearchSpace) -> None:
    one = loop(digits, 3.0, "5ms")
    one.settings = replace(one.settings, max_time_s=1e-9)
    try:
        settled = one.run()
    except VitasError:
        return  # the one subnet more that was allowed measured outside as well
    assert len(settled.candidates) <= 3


def test_a_device_that_nothing_is_fast_enough_for_ends_the_search(digits: SearchSpace) -> None:
    with pytest.raises(VitasError, match=r"measured inside the budget|fits the budget"):
        loop(digits, 1e4, "5ms").run()


def test_without_the_device_the_best_predicted_is_chosen(digits: SearchSpace) -> None:
    settled = loop(digits, None, "5ms").run()
    assert settled.verdict.measured_ms == {}
    assert settled.verdict.choice.top1 == max(candidate.top1 for candidate in settled.candidates)


def test_recorded_measurements_are_not_taken_again(small: SearchSpace) -> None:
    archive, subnets = Archive(), [small.sample(0), small.sample(1)]
    assert recorded(lambda _: [1.0, 2.0], archive, "x")(subnets) == [1.0, 2.0]
    replayed = recorded(lambda _: [7.0, 7.0], archive, "x")
    assert replayed(subnets) == [1.0, 2.0]
    assert replayed(subnets) == [7.0, 7.0]


def test_only_a_large_search_split_is_raced_on() -> None:
    assert [len(part_shares(images)) for images in (144, 1999, 2000, 3999, 4000, 10_000)] == [1, 1, 2, 2, 3, 3]


def test_words_become_settings() -> None:
    front = search_settings(pareto="latency,top1")
    assert (front.optimizer, front.pareto, front.choose) == ("nsga2", "latency_ms", "knee")
    assert search_settings().optimizer == "surrogate"
    assert (search_settings().confidence_of(True), search_settings().confidence_of(False)) == (0.5, 0.95)
    assert parse_latencies(["a=20ms", "5ms"]) == ("5ms", {"a": Range(None, 20.0)})
    for wrong in ({"pareto": "top1"}, {"choose": "knee"}, {"pareto": "flops,top1", "optimizer": "random"}):
        with pytest.raises(InputError):
            search_settings(**wrong)
    for words in (["5ms", "6ms"], ["a=5ms", "a=6ms"], ["=5ms"]):
        with pytest.raises(InputError):
            parse_latencies(words)
