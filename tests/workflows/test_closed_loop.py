from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from clocks import Clock
from scored import score

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.progress import SILENT, Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.choosing import recorded, recorded_each
from vitas_hw.searching.costs import Costs, Limit
from vitas_hw.searching.engine import Evaluations, Job
from vitas_hw.searching.memory import MemoryEstimate
from vitas_hw.searching.result import knee_first
from vitas_hw.searching.scores import Score
from vitas_hw.workflows.search.closed_loop import MEMORY, OWN, ClosedLoop
from vitas_hw.workflows.search.scoring import part_shares
from vitas_hw.workflows.search.settings import SearchSettings, axis, parse_latencies


class PerMac:
    def predict_columns(self, columns: SubnetColumns) -> PerMac:
        self.latency_ms = operators(columns).macs / 1e7
        return self


class Noted(Silent):
    def __init__(self, told: list[str]) -> None:
        self.told = told

    def note(self, text: str) -> None:
        self.told.append(text)


def loop(space: SearchSpace, factor: float | None, ceiling: str, archive: Archive | None = None) -> ClosedLoop:
    """The score grows with the MACs; the device takes ``factor`` times the prediction."""

    def evaluate(jobs: Sequence[Job]) -> list[Score]:
        return [score(candidate.subnet.macs / space.largest.macs) for candidate, _ in jobs]

    def measure(subnets: Sequence[Subnet]) -> list[float]:
        return [subnet.macs / 1e7 * (factor or 1) for subnet in subnets]

    settings = SearchSettings(population=8, generations=3)
    budget = Budget.parse(latency=ceiling)
    evaluations = Evaluations(evaluate, archive=archive or Archive())
    return ClosedLoop(Costs(space, PerMac()), budget, evaluations, settings, SILENT, {OWN: measure} if factor else {})


def test_the_search_goes_on_until_the_choice_measures_inside(digits: SearchSpace) -> None:
    settled = loop(digits, 3.0, "5ms").run()
    choice = settled.choice
    assert settled.measured_ms[choice.subnet.digest] <= 5.0
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
    one.measures = {OWN: lambda subnets: [subnet.macs / 1e7 + 4.6 for subnet in subnets]}
    settled = one.run()
    choice = settled.choice
    assert settled.measured_ms[choice.subnet.digest] <= 5.0
    assert len(asked) == 1
    assert choice.predicted_ms == pytest.approx(choice.subnet.macs / 1e7 + 4.6)
    assert settled.correction == pytest.approx(1.0)
    first, last = settled.rounds[0], settled.rounds[-1]
    assert set(first.violations) == set(first.measured_ms)
    assert (first.samples, last.samples) == (100, 100 + len(asked[0]))
    assert choice.subnet.digest not in last.violations
    for digest, ms in first.measured_ms.items():
        assert ms == pytest.approx(first.predicted_ms[digest] + 4.6)
    for digest, ms in last.measured_ms.items():
        assert ms == pytest.approx(last.predicted_ms[digest])
    assert {s.digest for s in one.measured} == {digest for told in settled.rounds for digest in told.measured_ms}


def test_after_a_round_of_misses_the_search_goes_on_before_leftovers_are_measured(digits: SearchSpace) -> None:
    events: list[str] = []
    one = loop(digits, 1.15, "5ms")  # near misses: some leftovers would measure inside
    evaluate, measure = one.evaluations.evaluate, one.measures[OWN]
    assert evaluate is not None

    def told(jobs: Sequence[Job]) -> list[Score]:
        events.append("evaluate")
        return list(evaluate(jobs))

    def meter(subnets: Sequence[Subnet]) -> list[float]:
        events.append("measure")
        return list(measure(subnets))

    one.evaluations.evaluate, one.measures = told, {OWN: meter}
    settled = one.run()
    assert len(settled.rounds[0].violations) == len(settled.rounds[0].measured_ms) == 5
    first, second = (place for place, event in enumerate(events) if event == "measure")
    assert "evaluate" in events[first:second]
    choice = settled.choice
    assert settled.measured_ms[choice.subnet.digest] <= 5.0
    assert choice.subnet.macs > 0.8 * 5e7 / 1.15  # a leftover within the scaled prediction uses less


def test_a_further_target_that_is_here_is_measured_and_kept(digits: SearchSpace) -> None:
    one = loop(digits, 1.0, "5ms")
    other = Limit("latency_ms", Range(None, 8.0), "phone", PerMac())
    one = replace(one, costs=replace(one.costs, others=(other,)))
    one.measures = {OWN: one.measures[OWN], "phone": lambda subnets: [subnet.macs / 1e7 * 2 for subnet in subnets]}
    one.__post_init__()
    settled = one.run()
    digest = settled.choice.subnet.digest
    assert settled.targets == {"phone": [None, 8.0]}
    assert settled.targets_ms["phone"][digest] == pytest.approx(2 * settled.measured_ms[digest])
    assert settled.targets_ms["phone"][digest] <= 8.0
    assert max(settled.targets_ms["phone"].values()) > 8.0  # by prediction alone one of those was chosen
    absent = loop(digits, 1.0, "5ms")
    absent = replace(absent, costs=replace(absent.costs, others=(other,)))
    assert absent.run().targets_ms == {}


def test_the_choice_keeps_a_memory_budget_as_it_measures(digits: SearchSpace) -> None:
    target = Target("box", "onnxruntime", "fp32", 1, 1, digits.image_size)
    estimate = MemoryEstimate(target)

    def weigh(subnets: Sequence[Subnet]) -> list[float]:
        return list(2.0 * estimate.bytes_of(SubnetColumns.of(subnets)))

    one = loop(digits, None, "50ms")
    one = replace(one, costs=replace(one.costs, memory=estimate), budget=Budget.parse(memory="20MB"))
    one.measures = {MEMORY: weigh}
    one.__post_init__()
    settled = one.run()
    assert 0.7 * 20e6 < settled.memory_bytes[settled.choice.subnet.digest] <= 20e6
    assert max(settled.memory_bytes.values()) > 20e6  # what was searched first: memory is twice the estimate
    assert settled.measured_ms == settled.targets_ms == {}


def test_of_a_front_the_knee_is_chosen_unless_the_best_is_asked_for(digits: SearchSpace) -> None:
    chosen = {}
    for choose in (None, "best"):
        one = loop(digits, None, "50ms")
        one.settings = SearchSettings(pareto="latency_ms", choose=choose, population=8, generations=3, seed=1)
        settled = one.run()
        chosen[choose], front = settled.choice, settled.front
        assert chosen[choose] in front
        assert len(front) > 2
    assert chosen["best"] == front[-1]
    assert chosen[None] == knee_first(settled.candidates, "latency_ms")[0] != front[-1]


def test_time_that_is_up_leaves_the_best_by_prediction_and_a_search_to_go_on_with(digits: SearchSpace) -> None:
    told: list[str] = []
    one = loop(digits, 3.0, "5ms")
    one.deadline, one.progress = Deadline(0.0), Noted(told)

    def cut(_: Sequence[Subnet]) -> list[float]:
        raise TimeIsUpError("the subnets were measured")

    one.timed[OWN].measure = cut
    settled = one.run()
    assert one.cut
    assert len(settled.candidates) == 1  # an end without a subnet would be no end
    assert settled.choice == settled.candidates[0]
    assert settled.measured_ms == {}
    assert told[-1] == "time is up before a finalist measured within the budget: the choice is made by prediction"


def test_no_choice_is_made_up_where_nothing_was_measured_and_earlier_searches_measured_outside(
    digits: SearchSpace,
) -> None:
    class Slow(dict[str, float]):
        def get(self, _: str, __: object = None) -> float:  # type: ignore[override]
            return 99.0

    def cut(_: Sequence[Subnet]) -> list[float]:
        raise TimeIsUpError("the subnets were measured")

    one = loop(digits, 3.0, "5ms")
    one.timed[OWN].measure, one.timed[OWN].earlier = cut, Slow()
    one._with_earlier = list  # type: ignore[method-assign]
    with pytest.raises(TimeIsUpError, match=r"^Time is up before a finalist was measured\."):
        one.run()


def test_what_was_measured_before_the_time_was_up_counts(digits: SearchSpace) -> None:
    """The first round misses; the second one is cut: the choice is one that the misses let expect inside."""
    one, rounds = loop(digits, 3.0, "5ms"), []
    measure = one.timed[OWN].measure
    assert measure is not None

    def cut(subnets: Sequence[Subnet]) -> Sequence[float]:
        if rounds:
            one.deadline.signals.append(signal.SIGINT)
            raise TimeIsUpError("the subnets were measured")
        rounds.append(subnets)
        return measure(subnets)

    one.timed[OWN].measure = cut
    settled = one.run()
    assert one.cut
    assert len(settled.measured_ms) == 5
    assert settled.choice.subnet.digest not in settled.measured_ms
    assert 3.0 * settled.choice.subnet.macs / 1e7 <= 5.0


def test_the_evaluations_leave_time_for_what_follows(digits: SearchSpace, clock: Clock) -> None:
    one = loop(digits, None, "5ms")
    evaluate = one.evaluations.evaluate
    assert evaluate is not None

    def slowly(jobs: Sequence[Job]) -> Iterator[Score]:
        for job in jobs:
            clock.at += 1.0
            yield from evaluate([job])

    one.evaluations.evaluate = slowly
    one.deadline, one.evaluating = Deadline.after(10.0), 0.6
    settled = one.run()
    assert len(settled.candidates) == 6
    assert one.cut
    assert not one.deadline.over()


def test_a_device_that_nothing_is_fast_enough_for_ends_the_search(digits: SearchSpace) -> None:
    with pytest.raises(VitasError, match=r"measured inside the budget; the nearest took|fits the budget"):
        loop(digits, 1e4, "5ms").run()


def test_without_the_device_the_best_predicted_is_chosen(digits: SearchSpace) -> None:
    settled = loop(digits, None, "5ms").run()
    assert settled.measured_ms == {}
    assert settled.choice.rank == max(candidate.rank for candidate in settled.candidates)


def test_recorded_measurements_are_not_taken_again(small: SearchSpace) -> None:
    archive, subnets = Archive(), [small.sample(0), small.sample(1)]
    assert recorded(lambda _: [1.0, 2.0], archive, "x", "")(subnets) == [1.0, 2.0]
    replayed = recorded(lambda _: [7.0, 7.0], archive, "x", "")
    assert replayed(subnets) == [1.0, 2.0]
    assert replayed(subnets) == [7.0, 7.0]
    over = recorded(lambda _: [3.0, 3.0], archive, "y", "", Deadline(0.0))
    assert over(subnets) == [3.0, 3.0]  # of fewer rounds than asked for, perhaps
    assert archive.measured("y", "") == []


def test_what_is_measured_one_by_one_is_kept_one_by_one(small: SearchSpace) -> None:
    archive, subnets, taken, deadline = Archive(), [small.sample(0), small.sample(1)], [], Deadline()

    def measure(subnet: Subnet) -> float:
        taken.append(subnet)
        if len(taken) == 1:
            deadline.signals.append(signal.SIGTERM)
        return float(len(taken))

    with pytest.raises(TimeIsUpError, match=r"^Time is up before the finalists were measured"):
        recorded_each(measure, archive, "x", "", deadline)(subnets)
    assert recorded_each(measure, archive, "x", "", Deadline())(subnets) == [1.0, 2.0]
    assert taken == subnets


def test_only_a_large_search_split_is_raced_on() -> None:
    assert [len(part_shares(images)) for images in (144, 1999, 2000, 3999, 4000, 10_000)] == [1, 1, 2, 2, 3, 3]


def test_settings_are_filled_with_what_suits_the_rest() -> None:
    front = SearchSettings(pareto=axis("latency,top1"))
    assert (front.optimizer, front.pareto, front.choose) == ("surrogate", "latency_ms", "knee")
    usual = SearchSettings()
    assert (usual.optimizer, usual.evaluations, usual.choose) == ("surrogate", 96, "best")
    assert (usual.confidence_of(True), usual.confidence_of(False)) == (0.5, 0.95)
    paper = SearchSettings(optimizer="paper", generations=3)
    assert (paper.optimizer, paper.population, paper.generations) == ("nsga2", 50, 3)
    assert replace(paper, seed=4).population == 50


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"choose": "knee"}, "choose"),
        ({"pareto": "macs", "optimizer": "random"}, "optimizer"),
        ({"pareto": "top1"}, "pareto"),
        ({"optimizer": "best"}, "optimizer"),
        ({"population": 1}, "population"),
        ({"generations": 0}, "generations"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0.4}, "confidence"),
        ({"ray_gpus": 0.5}, "ray_gpus"),
        ({"ray": "auto", "accuracy": "params"}, "ray"),
        ({"accuracy": "proxy"}, "accuracy"),
    ],
)
def test_settings_that_do_not_go_together(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        SearchSettings(**wrong)
    assert caught.value.field == field


def test_the_proxy_that_is_gone_names_what_took_its_place() -> None:
    with pytest.raises(InputError, match=r"The training-free proxy is gone: it orders .* Use accuracy=params\."):
        SearchSettings(accuracy="proxy")
    with pytest.raises(InputError, match=r"accuracy=params leaves no work for a cluster"):
        SearchSettings(accuracy="params", ray="auto")


def test_latencies_of_several_targets() -> None:
    assert parse_latencies(["a=20ms", "5ms"]) == ("5ms", {"a": Range(None, 20.0)})
    for words in (["5ms", "6ms"], ["a=5ms", "a=6ms"], ["=5ms"], ["a="]):
        with pytest.raises(InputError):
            Budget.parse(latency=parse_latencies(words)[0])
    for word in ("top1", "latency", "macs,top1"):
        with pytest.raises(InputError, match="is no pair of axes"):
            axis(word)
