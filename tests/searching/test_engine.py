from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scored import score

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import FileError, InfeasibleBudgetError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs, Limit
from vitas_hw.searching.engine import Evaluations, Job, explore
from vitas_hw.searching.optimizers.registry import OPTIMIZERS, make_optimizer
from vitas_hw.searching.result import Candidate, knee_first, ties_of
from vitas_hw.searching.scores import Score

SHARES = (0.25, 0.25, 0.5)


def all_codes(space: SearchSpace) -> np.ndarray:
    grids = np.meshgrid(*(np.arange(most) for most in space.cardinalities), indexing="ij")
    codes = np.stack([grid.ravel() for grid in grids], axis=1)
    codes = np.unique(space.canonical(codes[space.depths(codes) >= space.depth[0]]), axis=0)
    assert len(codes) == space.size
    return codes


class KilledError(Exception):
    pass


class Scorer:
    """A made-up score that grows with the widths and differs between parts; may be killed after some evaluations."""

    def __init__(self, lives: int | None = None) -> None:
        self.lives = lives
        self.jobs: list[tuple[bytes, int]] = []

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Score]:
        for candidate, part in jobs:
            code = np.asarray(candidate.code)
            if self.lives is not None and len(self.jobs) >= self.lives:
                raise KilledError
            self.jobs.append((code.tobytes(), part))
            yield score(float(code.mean() / code.max() + 0.01 * part), seed=int(code.sum()))


class TwoTimes:
    """Predicts a millisecond per ten million MACs, and as an upper end of its interval twice that."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def predict_columns(self, columns: SubnetColumns) -> TwoTimes:
        self.latency_ms = operators(columns).macs / 1e7 * self.scale
        self.upper_ms = 2 * self.latency_ms
        return self


def search(
    space: SearchSpace, name: str, archive: Archive, scorer: Scorer, shares: tuple[float, ...] = (1.0,), limit: int = 32
) -> tuple[list[Candidate], Evaluations]:
    costs, budget = Costs(space), Budget.parse(flops="2M")
    optimizer = make_optimizer(name, Admission(costs, budget), population=8, generations=limit // 8, levels=len(shares))
    evaluations = Evaluations(scorer, shares, archive)
    return explore(optimizer, evaluations, costs, limit), evaluations


def test_what_is_tried_instead_is_in_units_that_people_use() -> None:
    tiny = preset("vitas-digits")
    with pytest.raises(InfeasibleBudgetError) as caught:
        Costs(tiny).feasible_code(Budget.parse(flops="1K"))
    number = re.search(r"flops=(\S+), the nearest", caught.value.hint)
    assert number is not None
    assert re.fullmatch(r"[1-9]\d{0,2}(\.\d+)?[KMG]", number[1])
    Costs(tiny).feasible_code(Budget.parse(flops=number[1]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_killed_search_goes_on_and_ends_as_if_never_killed(name: str, small: SearchSpace, tmp_path: Path) -> None:
    whole, _ = search(small, name, Archive(), Scorer())
    header = {"supernet": "abc"}
    path = tmp_path / "evaluations.jsonl"
    lives = 0
    for lives in (1, 11, 8):
        with pytest.raises(KilledError):
            search(small, name, Archive.open(path, header), Scorer(lives))
        with path.open("a") as file:
            file.write('{"subnet":"torn')  # what a kill in the middle of a write leaves
    last = Scorer()
    resumed, _ = search(small, name, Archive.open(path, header), last)
    assert resumed == whole
    assert ties_of(resumed) == ties_of(whole)
    assert len(last.jobs) == len(whole) - 20
    again = Scorer()
    assert search(small, name, Archive.open(path, header), again)[0] == whole
    assert not again.jobs


def test_another_supernet_begins_anew_and_a_broken_line_is_named(small: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    search(small, "random", Archive.open(path, {"supernet": "a"}), Scorer())
    assert len(Archive.open(path, {"supernet": "a"})) == 32
    assert len(Archive.open(path, {"supernet": "b"})) == 0
    path.write_text(path.read_text() + "nonsense\n{}\n")
    with pytest.raises(FileError, match=r"line 2, is broken.*fresh"):
        Archive.open(path, {"supernet": "b"})


def test_measurements_are_kept_until_their_search_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    archive = Archive.open(path, {})
    archive.add_measured("one", "", {"a": 1.0})
    archive.add_measured("one", "", {"b": 2.0})
    archive.add_measured("one", "phone", {"a": 9.0})
    archive.add_measured("two", "", {"a": 3.0})
    assert Archive.open(path, {}).measured("one", "") == [{"a": 1.0}, {"b": 2.0}]
    archive.end("one")
    again = Archive.open(path, {})
    assert again.measured("one", "") == again.measured("one", "phone") == []
    assert again.measured("two", "") == [{"a": 3.0}]
    assert again.latencies("") == archive.latencies("") == {"a": 3.0, "b": 2.0}
    assert again.latencies("phone") == {"a": 9.0}
    again.begin("two")  # which goes on: it has not measured yet what it will measure again
    assert again.latencies("") == {"a": 1.0, "b": 2.0}


def test_a_code_of_another_subnet_than_it_stands_by_is_refused(small: SearchSpace, tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "evaluations.jsonl", {})
    one, other = small.sample(0), small.sample(1)
    archive.add((one.digest, None, 0), score(0.5), small.encode(one))
    assert [found.subnet for found in Evaluations(Scorer(), archive=archive).known(Costs(small))] == [one]
    archive.add(("0" * 16, None, 0), score(0.5), small.encode(other))
    with pytest.raises(FileError, match=rf"does not fit the space: .*its code is that of {other.digest}.*fresh"):
        Evaluations(Scorer(), archive=archive).known(Costs(small))


class Racing:
    """Scores of a first part that differ by little or by much beside what their images do."""

    def __init__(self, spread: float) -> None:
        self.spread, self.jobs = spread, [0, 0]

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Score]:
        for candidate, part in jobs:
            self.jobs[part] += 1
            rng = np.random.default_rng(int(candidate.subnet.digest, 16))
            yield score(0.5 + self.spread * rng.random(), seed=int(rng.integers(1000)), images=64)


def test_a_race_ends_for_what_is_worse_by_two_errors_of_the_paired_difference(small: SearchSpace) -> None:
    counts = []
    for spread in (1e-6, 0.5):
        scorer, costs = Racing(spread), Costs(small)
        optimizer = make_optimizer("surrogate", Admission(costs, Budget()), population=40, levels=2)
        explore(optimizer, Evaluations(scorer, (0.5, 0.5)), costs, 30)
        counts.append(scorer.jobs)
    alike, apart = counts
    assert alike[1] == 20  # the better half of 40: nothing is clearly worse
    assert apart[1] < 10


def test_a_front_of_the_surrogate_is_better_than_that_of_the_evolution(small: SearchSpace) -> None:
    costs = Costs(small)

    def volume(name: str, seed: int) -> float:
        """Under the front, over the logarithm of the MACs."""
        optimizer = make_optimizer(
            name, Admission(costs, Budget(), near=False), seed=seed, against="macs", population=8
        )
        found = explore(optimizer, Evaluations(Scorer()), costs, 40)
        grid = np.linspace(np.log(small.smallest.macs), np.log(small.largest.macs), 200)
        best = [max((-(c.loss or 9) for c in found if np.log(c.subnet.macs) <= at), default=-2.0) for at in grid]
        return float(np.mean(best))

    assert np.mean([volume("surrogate", s) - volume("nsga2", s) for s in range(3)]) > 0


def test_racing_evaluates_the_promising_on_all_of_the_split_and_counts_in_whole_splits(small: SearchSpace) -> None:
    scorer = Scorer()
    found, evaluations = search(small, "surrogate", Archive(), scorer, SHARES)
    by_part = [sum(part == one for _, part in scorer.jobs) for one in range(3)]
    assert by_part[0] > by_part[1] > by_part[2] == len(found) > 0
    assert evaluations.spent == pytest.approx(sum(n * share for n, share in zip(by_part, SHARES, strict=True)))
    assert evaluations.spent <= 32
    assert len(set(scorer.jobs)) == len(scorer.jobs)
    code = small.encode(found[0].subnet)
    assert found[0].loss == pytest.approx(2 - code.mean() / code.max() - 0.01, abs=1e-3)  # parts of equal length here


def test_time_ends_a_search_with_the_best_so_far(small: SearchSpace) -> None:
    costs = Costs(small)
    optimizer = make_optimizer("random", Admission(costs, Budget()))
    found = explore(optimizer, Evaluations(Scorer()), costs, 96, time_is_up=lambda: True)
    assert len(found) == 1


def test_the_confidence_moves_what_is_admitted_to_the_upper_bound(digits: SearchSpace) -> None:
    codes = digits.sample_codes(500, np.random.default_rng(0))
    predicted = Costs(digits, TwoTimes()).of(codes)["latency_ms"]
    budget = Budget(latency_ms=Range(None, float(np.median(predicted))))
    for confidence, factor in ((0.5, 1.0), (0.95, 2.0)):
        inside = Costs(digits, TwoTimes(), confidence).excess(codes, budget) <= 0
        np.testing.assert_array_equal(inside, predicted * factor <= np.median(predicted) * (1 + 1e-12))


def test_a_subnet_for_two_targets_is_good_on_both(digits: SearchSpace) -> None:
    other = Limit("latency_ms", Range(None, 30.0), "phone", TwoTimes(10.0))
    costs = Costs(digits, TwoTimes(), others=(other,))
    codes = Admission(costs, Budget.parse(latency="5ms")).draw(50, np.random.default_rng(0))
    assert len(codes) == 50
    assert costs.of(codes)["latency_ms"].max() <= 3.0
    impossible = Limit("latency_ms", Range(None, 0.01), "phone", TwoTimes(10.0))
    with pytest.raises(InfeasibleBudgetError, match=r"phone.*latency=phone="):
        Costs(digits, TwoTimes(), others=(impossible,)).feasible_code(Budget.parse(latency="5ms"))


def test_an_infeasible_mix_names_the_nearest_budget_and_that_is_feasible(digits: SearchSpace) -> None:
    costs = Costs(digits)
    with pytest.raises(InfeasibleBudgetError, match="nearest") as caught:
        costs.feasible_code(Budget.parse(flops="20M", params="30M-40M"))
    words = dict(word.split("=") for word in caught.value.hint.replace(",", " ").split() if "=" in word)
    nearest = Budget.parse(flops=words["flops"], params=words["params"])
    assert nearest.macs is not None
    assert costs.excess(costs.feasible_code(nearest)[None], nearest)[0] <= 0


def test_a_front_spreads_and_its_knee_comes_first(small: SearchSpace) -> None:
    costs = Costs(small)
    optimizer = make_optimizer("nsga2", Admission(costs, Budget()), against="macs")
    found = explore(optimizer, Evaluations(Scorer()), costs, 96)
    macs = [candidate.subnet.macs for candidate in found]
    assert min(macs) < 0.1 * max(macs)
    rows = [(0.5, 1.0), (0.8, 2.0), (0.85, 9.0), (0.3, 5.0)]
    four = [Candidate(small.sample(seed), top1, cost) for seed, (top1, cost) in enumerate(rows)]
    assert [c.top1 for c in knee_first(four)] == [0.8, 0.5, 0.85, 0.3]


def test_the_largest_inside_is_that_of_all_subnets(small: SearchSpace) -> None:
    small = replace(small, depth=(1, 3))
    codes = all_codes(small)
    costs = Costs(small, TwoTimes())
    known = costs.of(codes)
    for cost, share in (("macs", 0.1), ("macs", 0.6), ("latency_ms", 0.3), ("params", 0.5)):
        ceiling = float(np.quantile(known[cost], share))
        budget = Budget(**{cost: Range(None, ceiling)})
        found = small.decode(costs.largest_inside(budget))
        assert found.params == known["params"][known[cost] <= ceiling].max()
    assert small.decode(costs.largest_inside(Budget())).params == known["params"].max()


def test_a_ranking_by_size_evaluates_nothing_and_knows_no_top1(small: SearchSpace) -> None:
    costs = Costs(small)
    optimizer = make_optimizer("surrogate", Admission(costs, Budget.parse(flops="2M")))
    found = explore(optimizer, Evaluations(None), costs, 40)
    assert len(found) == 40
    for candidate in found:
        assert candidate.top1 is None
        assert candidate.rank == candidate.subnet.params
        assert "top1" not in candidate.to_dict()
