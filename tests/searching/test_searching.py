from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored import score

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.depths import identity_depths
from vitas_hw.core.errors import FileError, InfeasibleBudgetError, InputError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.presets import PRESETS, preset
from vitas_hw.core.records import from_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.choosing import Measure, Timed, choose_measured
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.depth_shares import depth_shares
from vitas_hw.searching.engine import Evaluations, Job, explore
from vitas_hw.searching.optimizers.registry import GENERATIONS, OPTIMIZERS, POPULATION, make_optimizer
from vitas_hw.searching.result import (
    Candidate,
    SearchResult,
    best_first,
    load_result,
    pareto_front,
    save_candidates,
    save_result,
)
from vitas_hw.searching.scores import Score


class Prediction:
    def __init__(self, latency_ms: np.ndarray) -> None:
        self.latency_ms = latency_ms


class PerMac:
    """Predicts a millisecond per ten million MACs."""

    def predict_columns(self, columns: SubnetColumns) -> Prediction:
        return Prediction(operators(columns).macs / 1e7)


def params_score(jobs: Sequence[Job]) -> list[Score]:
    """A made-up score that grows with the parameters."""
    return [score(candidate.subnet.params / 1e8) for candidate, _ in jobs]


def search(space: SearchSpace, budget: Budget, seed: int = 0, optimizer: str = "nsga2", **size: int) -> list[Candidate]:
    costs = Costs(space, PerMac())
    limit = size.get("population", POPULATION) * size.get("generations", GENERATIONS)
    asked = make_optimizer(optimizer, Admission(costs, budget), seed=seed, **size)
    return explore(asked, Evaluations(params_score), costs, limit)


@pytest.mark.parametrize("name", PRESETS)
def test_reachable_costs_are_those_of_the_extreme_subnets(name: str) -> None:
    space = preset(name)
    costs = Costs(space, PerMac())
    for cost in ("macs", "params"):
        least, most = costs.reachable(cost)
        rng = np.random.default_rng(1)
        found = costs.of(space.sample_codes(2000, rng, identity_depths(space, 1.0)))[cost]
        assert least <= found.min()
        assert most >= costs.of(space.sample_codes(2000, rng, identity_depths(space, 0.0)))[cost].max()
    assert costs.reachable("macs") == (space.smallest.macs, space.largest.macs)


def test_an_impossible_latency_says_what_can_be_reached(digits: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError) as caught:
        search(digits, Budget.parse(latency="0.001ms"))
    least = digits.smallest.macs / 1e7
    assert "at most 0.001 ms" in str(caught.value)
    assert f"{least:.3g} ms" in str(caught.value)
    assert "Try latency=" in str(caught.value)
    suggested = caught.value.hint.split()[1].removeprefix("latency=").rstrip(",")
    Costs(digits, PerMac()).feasible_code(Budget.parse(latency=suggested))


@pytest.mark.parametrize(
    "budget",
    [
        Budget.parse(flops="1K"),
        Budget.parse(flops="9T-10T"),
        Budget.parse(params="1K"),
        Budget.parse(flops="2M", params="30M-40M"),
    ],
    ids=str,
)
def test_infeasible_budgets_and_mixes_are_refused(budget: Budget, digits: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError, match="Try "):
        Costs(digits).feasible_code(budget)


@pytest.mark.parametrize(
    "budget",
    [
        Budget.parse(flops="1.46M"),  # replaced by the smallest subnet's own
        Budget.parse(flops="600M-700M"),  # replaced by the top 2%
        Budget.parse(params="5M-5.1M", flops="24M-25M"),
        Budget.parse(latency="0.5-0.6ms"),
    ],
    ids=str,
)
def test_a_narrow_budget_that_some_subnet_fits_is_found(budget: Budget, digits: SearchSpace) -> None:
    least, most = digits.smallest.macs, digits.largest.macs
    if budget.macs and budget.macs.low is None:
        budget = Budget(macs=Range(None, float(least)))
    elif budget.macs and not budget.params:
        budget = Budget(macs=Range(0.98 * most, float(most)))
    costs = Costs(digits, PerMac())
    code = costs.feasible_code(budget)
    assert costs.excess(code[None], budget)[0] <= 0
    assert search(digits, budget, population=6, generations=2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_candidates_are_different_and_inside_the_budget(optimizer: str, digits: SearchSpace) -> None:
    budget = Budget.parse(latency="4ms", params="8M")
    found = search(digits, budget, optimizer=optimizer, population=16, generations=5)
    assert len(found) == 80
    assert len({candidate.subnet for candidate in found}) == 80
    for candidate in found:
        assert candidate.subnet.params <= 8e6
        assert candidate.predicted_ms == candidate.subnet.macs / 1e7
        assert candidate.predicted_ms <= 4


def wish_score(jobs: Sequence[Job]) -> list[Score]:
    """A made-up score that falls with the distance from one wished-for code: of equal costs, few are good."""
    wish = np.random.default_rng(5).random(preset("vitas-digits").code_length)
    most = preset("vitas-digits").cardinalities - 1
    return [score(1 - float(np.abs(np.array(one.code) / most - wish).mean())) for one, _ in jobs]


@pytest.mark.parametrize("optimizer", ["surrogate", "nsga2"])
def test_a_search_beats_as_many_random_subnets(optimizer: str, digits: SearchSpace) -> None:
    def best(by: str) -> float:
        costs, size = Costs(digits, PerMac()), {"population": 20, "generations": 12}
        asked = make_optimizer(by, Admission(costs, Budget.parse(latency="6ms")), seed=0, **size)
        found = explore(asked, Evaluations(wish_score), costs, 240)
        assert len(found) == 240
        return min(one.loss or 9 for one in found)

    assert best(optimizer) < best("random") - 0.02


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_seed_gives_the_same_candidates_byte_for_byte(
    optimizer: str, digits: SearchSpace, tmp_path: Path
) -> None:
    budget = Budget.parse(latency="3ms")
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        np.random.seed(ord(name))  # noqa: NPY002  # the global generator must not matter
        found = search(digits, budget, seed=seed, optimizer=optimizer, population=8, generations=4)
        save_candidates(found, tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_space_smaller_than_the_evolution_ends(optimizer: str, small: SearchSpace) -> None:
    tiny = SearchSpace.from_dict(
        small.to_dict() | {"depth": [1, 1], "embed_dims": [24], "attn_dims": [12], "mlp_dims": [32, 64]}
    )
    found = search(tiny, Budget(), optimizer=optimizer, population=20, generations=5)
    assert {candidate.subnet for candidate in found} <= {tiny.decode(c) for c in _all_codes(tiny)}
    assert len(found) == tiny.size == 8


def _all_codes(space: SearchSpace) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(most) for most in space.cardinalities)), -1)
    codes = grid.reshape(-1, space.code_length)
    return codes[space.depths(codes) >= space.depth[0]]


def test_a_latency_budget_needs_a_predictor(digits: SearchSpace) -> None:
    with pytest.raises(InputError, match="A latency budget needs a predictor") as caught:
        Costs(digits).feasible_code(Budget.parse(latency="3ms"))
    assert (caught.value.field, caught.value.step) == ("latency", "profile")


@pytest.mark.parametrize(
    ("how", "asked"),
    [
        ("identity", {"flops": "40M"}),
        ("identity", {"flops": "60M-62M"}),
        ("identity", {"latency": "5ms"}),
        ("identity", {"params": "6M"}),
        ("uniform", {"flops": "90M"}),
        ("uniform", {"flops": "130M-132M"}),
        ("uniform", {"latency": "9ms"}),
        ("uniform", {"params": "6M"}),
    ],
)
def test_the_depths_bring_the_mean_into_the_budget(how: str, asked: dict[str, str], digits: SearchSpace) -> None:
    costs, budget = Costs(digits, PerMac()), Budget.parse(**asked)
    found = depth_shares(costs, budget, how=how, seed=0)
    ((cost, bounds),) = budget.asked.items()
    assert bounds.high is not None
    floor = 0.9 * bounds.high if bounds.low is None else bounds.low
    assert floor <= found.means[cost] <= bounds.high
    fresh = costs.of(digits.sample_codes(5000, np.random.default_rng(77), found.shares))[cost].mean()
    assert floor * 0.93 <= fresh <= bounds.high * 1.07


@pytest.mark.parametrize(("flops", "end"), [("20M", 0), ("190M", -1)])
def test_a_budget_that_few_depths_meet_still_trains_every_block(flops: str, end: int, digits: SearchSpace) -> None:
    """The mean cannot get there with every depth at half of its share; it goes as far as it can."""
    shares = np.array(depth_shares(Costs(digits), Budget.parse(flops=flops), seed=0).shares)
    assert np.argmax(shares) == end % len(shares)
    assert shares.min() >= 0.5 / len(shares)


def test_a_mean_out_of_reach_says_which_means_are_not(digits: SearchSpace) -> None:
    with pytest.raises(InfeasibleBudgetError, match=r"means reach .* MMACs to .* MMACs"):
        depth_shares(Costs(digits), Budget.parse(flops="1M"), how="identity", seed=0)


def candidate(space: SearchSpace, seed: int, top1: float, predicted: float) -> Candidate:
    return Candidate(space.sample(seed), top1, predicted)


def test_the_front_holds_what_nothing_beats(small: SearchSpace) -> None:
    rows = [(0.5, 1.0), (0.6, 2.0), (0.55, 3.0), (0.9, 4.0), (0.9, 5.0), (0.4, 1.0)]
    found = pareto_front([candidate(small, seed, *row) for seed, row in enumerate(rows)])
    assert [(c.top1, c.predicted_ms) for c in found] == [(0.5, 1.0), (0.6, 2.0), (0.9, 4.0)]


def test_of_equal_top1_the_cheaper_is_better(small: SearchSpace) -> None:
    first, second, third = (candidate(small, s, t, p) for s, t, p in ((0, 0.9, 3.0), (1, 0.9, 2.0), (2, 0.95, 9.0)))
    assert best_first([first, second, third]) == [third, second, first]


def timed(found: Sequence[Candidate], bounds: Range, meter: Measure, **about: Any) -> Timed:
    predicted = {one.subnet: one.predicted_ms for one in found}
    return Timed(bounds, meter, lambda subnets: [predicted[subnet] for subnet in subnets], **about)


def test_the_best_that_measures_inside_wins(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9 - seed / 100, 4.0) for seed in range(8)]
    slow = {found[0].subnet, found[1].subnet}
    measured: list[Subnet] = []

    def meter(subnets: Sequence[Subnet]) -> list[float]:
        measured.extend(subnets)
        return [6.0 if subnet in slow else 4.5 for subnet in subnets]

    target = timed(found, Range(None, 5.0), meter)
    choice, known = choose_measured(found, [target]), target.measured
    assert choice == found[2]
    assert [known[c.subnet] for c in found[:3]] == [6.0, 6.0, 4.5]
    assert measured == [c.subnet for c in found[:5]]


def test_after_a_miss_the_prediction_is_corrected(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9 - seed / 100, 4.9 - 0.3 * seed) for seed in range(12)]
    rounds: list[list[float]] = []
    by_subnet = {c.subnet: c.predicted_ms for c in found}

    def meter(subnets: Sequence[Subnet]) -> list[float]:
        rounds.append([by_subnet[subnet] * 1.5 for subnet in subnets])
        return rounds[-1]

    target = timed(found, Range(None, 5.0), meter)
    assert choose_measured(found, [target]) is None  # the search goes on before leftovers are taken
    assert len(rounds) == 1
    choice, known = choose_measured(found, [target], patient=True), target.measured
    assert choice is not None
    assert known[choice.subnet] <= 5.0
    assert len(rounds) == 2
    assert max(rounds[1]) <= 5.0


def test_a_range_is_met_on_a_machine_that_is_faster_than_predicted(small: SearchSpace) -> None:
    subnets = list(dict.fromkeys(small.sample(seed) for seed in range(60)))[:33]
    found = [Candidate(subnet, 0.9 - row / 1000, 4.0 + 0.03 * row) for row, subnet in enumerate(subnets)]
    real = {c.subnet: 0.85 * (c.predicted_ms or 0) for c in found}
    target = timed(found, Range(4.0, 5.0), lambda chosen: [real[subnet] for subnet in chosen])
    choice = choose_measured(found, [target], patient=True)
    assert choice is not None
    assert 4.0 <= real[choice.subnet] <= 5.0


def test_if_none_measures_inside_there_is_no_choice(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9, 4.0) for seed in range(50)]
    target = timed(found, Range(None, 5.0), lambda subnets: [9.0] * len(subnets))
    assert choose_measured(found, [target], patient=True) is None
    assert set(target.measured.values()) == {9.0}


def test_one_that_keeps_only_the_ceiling_is_taken_where_none_keeps_the_margin(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9 - seed / 100, 4.0) for seed in range(20)]
    target = timed(found, Range(None, 5.0), lambda subnets: [4.95] * len(subnets), margin=0.03)
    assert choose_measured(found, [target]) == found[0]
    assert len(target.measured) > 5
    safe = timed(found, Range(None, 5.0), lambda subnets: [4.8 if s == found[3].subnet else 4.95 for s in subnets])
    safe.margin = 0.03
    assert choose_measured(found, [safe]) == found[3]


def test_what_an_earlier_search_measured_counts_more_than_the_prediction(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9 - seed / 100, 4.0 + 2.0 * (seed == 0)) for seed in range(6)]
    by_digest = {one.subnet.digest: 4.5 for one in found}
    target = timed(found, Range(None, 5.0), lambda subnets: [by_digest[s.digest] for s in subnets], earlier=by_digest)
    assert choose_measured(found, [target]) == found[0]  # predicted outside, and yet inside
    unknown = timed(found, Range(None, 5.0), lambda subnets: [4.5] * len(subnets))
    assert choose_measured(found, [unknown]) == found[1]


def test_a_choice_for_two_targets_measures_inside_on_both(small: SearchSpace) -> None:
    found = [candidate(small, seed, 0.9 - seed / 100, 4.0) for seed in range(8)]
    own = timed(found, Range(None, 5.0), lambda subnets: [4.0] * len(subnets))
    slow = {found[0].subnet, found[1].subnet}
    other = timed(found, Range(None, 1.0), lambda subnets: [1.1 if s in slow else 0.9 for s in subnets])
    other.predict = lambda subnets: [0.9] * len(subnets)
    assert choose_measured(found, [own, other]) == found[2]
    again, absent = timed(found, Range(None, 5.0), lambda subnets: [4.0] * len(subnets)), Timed(Range(None, 1.0), None)
    assert choose_measured(found, [again, absent]) == found[0]


def test_a_result_comes_back(small: SearchSpace, tmp_path: Path) -> None:
    found = tuple(candidate(small, seed, 0.5 + seed / 10, 1.0 + seed) for seed in range(4))
    budget = Budget.parse(latency="5ms")
    result = SearchResult(
        budget,
        7,
        {"optimizer": "random", "population": 4},
        "small",
        {"a": "b"},
        found,
        {found[3].subnet.digest: 4.0},
        found[3],
        0.97,
    )
    save_candidates(found, tmp_path / "candidates.jsonl")
    save_result(result, tmp_path / "search.json")
    assert load_result(tmp_path / "search.json", tmp_path / "candidates.jsonl") == result
    (tmp_path / "search.json").write_text("{}")
    with pytest.raises(FileError, match="not a search result"):
        load_result(tmp_path / "search.json", tmp_path / "candidates.jsonl")


def test_a_result_of_the_proxy_that_is_gone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"schema": 1, "kind": "search", "accuracy": "proxy"}')
    (tmp_path / "candidates.jsonl").write_text("")
    with pytest.raises(FileError, match="is of a search by the training-free proxy, which is gone") as caught:
        load_result(tmp_path / "search.json", tmp_path / "candidates.jsonl")
    assert caught.value.step == "search"


def test_without_identity_shifting_a_candidate_knows_its_blocks(small: SearchSpace) -> None:
    space = replace(small, identity_shifting=False)
    found = search(space, Budget(), population=16, generations=3)
    assert all(candidate.layers is not None for candidate in found)
    assert any(candidate.layers != tuple(range(candidate.subnet.depth)) for candidate in found)
    again = [from_json(Candidate, json.loads(json.dumps(candidate.to_dict()))) for candidate in found]
    assert again == found
