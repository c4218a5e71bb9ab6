from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import ATTEMPTS, anchor_ms, measure, measurements, passes
from vitas_hw.profiling.nvidia import GpuMeanwhile, summary
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet
from vitas_hw.profiling.protocol import gpu_during, say_what_slowed_the_gpu
from vitas_hw.profiling.timing import Visit
from vitas_hw.profiling.worker import SubnetFailedError

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))


class FakeMeter:
    """Takes as many milliseconds as a subnet has thousand parameters, times how slow the machine is at that visit."""

    def __init__(self, refuse: frozenset[str] = frozenset(), stop_after: int | None = None) -> None:
        self.visited: list[str] = []
        self.renewed_at: list[int] = []
        self._refuse, self._stop_after = refuse, stop_after

    def slowness(self, visit: int) -> tuple[float, float]:
        """Of the machine before and after a visit."""
        return 1.0, 1.0

    def renew(self, measurement: str) -> None:
        self.renewed_at.append(len(self.visited))

    def visit(self, subnet: Subnet) -> Visit:
        if self._stop_after is not None and len(self.visited) >= self._stop_after:
            raise KeyboardInterrupt
        before, after = self.slowness(len(self.visited))
        self.visited.append(subnet.digest)
        if subnet.digest in self._refuse:
            raise SubnetFailedError("this engine cannot")
        ms = subnet.params / 1e3 * (before + after) / 2
        return Visit((ms, ms, ms), (10.0 * before,), (10.0 * after,))


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(12)))[:8]


def take(meter: FakeMeter, subnets: list[Subnet], path: Path, rounds: int = 3) -> list[Measurement]:
    journal = Journal.open(path, {"machine": 1})
    measure(meter, subnets, rounds=rounds, seed=0, journal=journal)
    return measurements(journal, subnets, "first", rounds)


def test_every_subnet_is_visited_once_a_round_in_changing_order(subnets: list[Subnet], tmp_path: Path) -> None:
    meter = FakeMeter()
    found = take(meter, subnets, tmp_path / "journal")
    assert [measurement.subnet for measurement in found] == subnets
    assert all(len(measurement.rounds_ms) == 3 for measurement in found)
    size = len(subnets)
    rounds = [meter.visited[start : start + size] for start in range(0, 3 * size, size)]
    assert all(sorted(order) == sorted(subnet.digest for subnet in subnets) for order in rounds)
    assert len({tuple(order) for order in rounds}) == 3
    assert meter.renewed_at == [0, size, 2 * size]  # everything built anew each round


def test_a_subnet_that_cannot_run_costs_one_row(subnets: list[Subnet], tmp_path: Path) -> None:
    bad = subnets[3].digest
    meter = FakeMeter(refuse=frozenset([bad]))
    found = take(meter, subnets, tmp_path / "journal")
    assert [measurement.failed for measurement in found].count("this engine cannot") == 1
    assert found[3].failed
    assert meter.visited.count(bad) == 1  # not tried again in the next round


def test_when_nothing_runs_the_profile_ends_with_the_reason(subnets: list[Subnet], tmp_path: Path) -> None:
    meter = FakeMeter(refuse=frozenset(subnet.digest for subnet in subnets))
    with pytest.raises(VitasError, match=r"None of the first 5 subnets runs.*this engine cannot.*doctor"):
        take(meter, subnets, tmp_path / "journal")


@pytest.mark.parametrize("stop", [0, 1, 7, 8, 9, 23])
def test_an_interrupted_profiling_goes_on_where_it_was(stop: int, subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        take(FakeMeter(stop_after=stop), subnets, path)
    assert path.read_text().count("samples_ms") == stop
    rest = FakeMeter()
    found = take(rest, subnets, path)
    assert len(rest.visited) == 3 * len(subnets) - stop
    assert all(len(measurement.rounds_ms) == 3 for measurement in found)
    done = FakeMeter()
    assert take(done, subnets, path) == found
    assert done.renewed_at == []  # nothing was started for nothing


class SlowSpell(FakeMeter):
    """Half as fast from the sixth visit to the fifteenth, and meanwhile steady."""

    def slowness(self, visit: int) -> tuple[float, float]:
        return (1.25, 1.25) if 5 <= visit < 15 else (1.0, 1.0)


def test_a_slow_spell_of_the_machine_is_corrected_for(subnets: list[Subnet], tmp_path: Path) -> None:
    found = take(SlowSpell(), subnets, tmp_path / "journal")
    for measurement in found:
        assert measurement.latency_ms == pytest.approx(measurement.subnet.params / 1e3)
    assert {drift for measurement in found for drift in measurement.drift} == {1.0, 1.25}
    raw = {round(sample / m.subnet.params * 1e3, 6) for m in found for visit in m.rounds_ms for sample in visit}
    assert raw == {1.0, 1.25}  # raw values are kept


class Jump(FakeMeter):
    """The machine slows down during some visits."""

    def __init__(self, at: frozenset[int]) -> None:
        super().__init__()
        self._at = at

    def slowness(self, visit: int) -> tuple[float, float]:
        return (1.0, 1.5) if visit in self._at else (1.0, 1.0)


def test_a_visit_in_which_the_machine_changed_is_repeated_at_the_end_of_its_round(
    subnets: list[Subnet], tmp_path: Path
) -> None:
    meter = Jump(frozenset([2]))
    found = take(meter, subnets, tmp_path / "journal", rounds=1)
    assert meter.visited[8:] == [meter.visited[2]]
    assert all(measurement.drift == (1.0,) for measurement in found)
    assert (tmp_path / "journal").read_text().count("samples_ms") == 9  # what was repeated is kept too
    again = Jump(frozenset())
    assert take(again, subnets, tmp_path / "journal", rounds=1) == found
    assert not again.visited


def test_a_machine_that_never_settles_ends_all_the_same(subnets: list[Subnet], tmp_path: Path) -> None:
    meter = Jump(frozenset(range(1000)))
    found = take(meter, subnets, tmp_path / "journal", rounds=2)
    assert len(meter.visited) == 2 * ATTEMPTS * len(subnets)
    assert all(measurement.rounds_ms for measurement in found)


def test_a_visit_far_from_the_usual_is_repeated_though_it_was_steady(subnets: list[Subnet], tmp_path: Path) -> None:
    class Far(FakeMeter):
        def slowness(self, visit: int) -> tuple[float, float]:
            return (2.0, 2.0) if visit == 6 else (1.0, 1.0)

    meter = Far()
    found = take(meter, subnets, tmp_path / "journal", rounds=1)
    assert len(meter.visited) == 9
    assert all(measurement.drift == (1.0,) for measurement in found)


def test_a_round_says_when_it_begins_and_only_if_something_is_left(subnets: list[Subnet], tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", {})
    rounds: list[tuple[str, int]] = []
    ticks: list[int] = []
    for _ in range(2):
        measure(
            FakeMeter(),
            subnets,
            rounds=2,
            seed=0,
            journal=journal,
            name="second",
            on_round=lambda name, round_: rounds.append((name, round_)),
            on_visit=lambda: ticks.append(1),
        )
    assert rounds == [("second", 0), ("second", 1)]
    assert len(ticks) == 4 * len(subnets)


def test_the_anchors_p50_is_the_machine_as_it_was_half_of_the_time(subnets: list[Subnet], tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", {})
    assert np.isnan(anchor_ms(journal))
    measure(SlowSpell(), subnets, rounds=3, seed=0, journal=journal)
    assert anchor_ms(journal) == 10.0


def test_a_torn_last_line_is_dropped_and_anything_else_broken_is_named(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeMeter(), subnets[:2], path, rounds=1)
    whole = path.read_text()
    path.write_text(whole + '{"measurement":"first","rou')
    journal = Journal.open(path, {"machine": 1})
    assert len(journal.attempts) == 2
    assert path.read_text() == whole
    lines = whole.splitlines()
    for broken in ("{}", lines[1].replace('"before_ms":[10.0]', '"before_ms":[]'), lines[1].replace("10.0", "-1.0")):
        path.write_text("\n".join([lines[0], broken, lines[2]]) + "\n")
        with pytest.raises(FileError, match="line 2, is broken"):
            Journal.open(path, {"machine": 1})


def test_a_journal_cut_anywhere_can_be_opened(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeMeter(), subnets[:2], path, rounds=1)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert len(Journal.open(path, {"machine": 1}).attempts) == max(whole[:end].count(b"\n") - 1, 0)


def test_a_journal_of_another_machine_is_never_continued(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeMeter(), subnets[:2], path)
    with pytest.raises(InputError, match=r"begun with another machine.*with fresh"):
        Journal.open(path, {"machine": 2})


def test_what_the_gpu_did_meanwhile_is_kept_with_each_visit(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    seen = GpuMeanwhile(2, (1410.0, 1980.0), 61.0, 250.5, ("power cap",))
    journal = Journal.open(path, {})
    journal.add_visit("first", 0, "a", Visit((1.0,), (1.0,), (1.0,), gpu=seen))
    journal.add_visit("first", 0, "b", Visit((1.0,), (1.0,), (1.0,)))
    again = Journal.open(path, {})
    assert [visits[0].gpu for visits in again.attempts.values()] == [seen, None]
    assert gpu_during(again) == summary([seen])
    said: list[str] = []

    class Told(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    say_what_slowed_the_gpu(again, Told())
    say_what_slowed_the_gpu(Journal.open(tmp_path / "other", {}), Told())
    assert said == ["warning: The GPU was slowed down while it was measured: power cap in 100% of the visits."]


def test_conditions_are_kept_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal.open(path, {}).add_conditions("first", 0, {"load_1m": 0.5})
    assert Journal.open(path, {}).conditions == [{"measurement": "first", "round": 0, "conditions": {"load_1m": 0.5}}]


def test_when_time_is_up_nothing_more_is_measured_and_what_was_counts(subnets: list[Subnet], tmp_path: Path) -> None:
    path, meter = tmp_path / "journal", FakeMeter()
    journal = Journal.open(path, {"machine": 1})
    done = measure(
        meter, subnets, rounds=2, seed=0, journal=journal, time_is_up=lambda: len(meter.visited) == len(subnets) + 3
    )
    assert not done
    found = measurements(journal, subnets, "first", 2)
    assert sorted(len(measurement.rounds_ms) for measurement in found) == [1] * (len(subnets) - 3) + [2] * 3
    early = Journal.open(tmp_path / "early", {"machine": 1})
    other = FakeMeter()
    assert not measure(other, subnets, rounds=1, seed=0, journal=early, time_is_up=lambda: len(other.visited) == 2)
    assert {measurement.subnet.digest for measurement in measurements(early, subnets, "first", 1)} == set(other.visited)
    assert take(FakeMeter(), subnets, path, rounds=2) == take(FakeMeter(), subnets, tmp_path / "at once", rounds=2)


class Spells(FakeMeter):
    """Slow for stretches, more than half of all visits, and then noisy too."""

    def __init__(self, seed: int, stop_after: int | None = None) -> None:
        super().__init__(stop_after=stop_after)
        self.rng = np.random.default_rng(seed)
        lengths = np.stack([self.rng.geometric(0.07, 100), self.rng.geometric(0.05, 100)], axis=1).ravel()
        self.loud = np.repeat([0.0, 0.25] * 100, lengths)
        self.noise = self.rng.normal(0, 1, len(self.loud))

    def visit(self, subnet: Subnet) -> Visit:
        number = len(self.visited)
        slow = super().visit(subnet)
        now = float(self.loud[number])
        ms = slow.samples_ms[0] * float(np.exp(0.9 * now + (0.005 + 0.25 * now) * self.noise[number]))
        anchor = (10 * float(np.exp(now)),)
        return Visit((ms, ms * 1.001, ms * 1.002), anchor, anchor)


def many(space: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(space.sample(seed) for seed in range(300)))[:40]


def test_the_last_rounds_visits_go_where_they_tell_most(small: SearchSpace, tmp_path: Path) -> None:
    subnets, wrong = many(small), {}
    for name in ("shared out", "alike"):
        errors: list[float] = []
        for seed in range(8):
            meter, journal = Spells(seed), Journal.open(tmp_path / f"{name} {seed}", {})
            if name == "shared out":
                measure(meter, subnets, rounds=3, seed=seed, journal=journal)
            else:
                for pass_ in passes({"first": subnets}, rounds=3, seed=seed):  # as where nobody looks into the journal
                    for subnet in pass_.order if pass_.attempt == 0 else ():
                        journal.add_visit("first", pass_.round_, subnet.digest, meter.visit(subnet))
            assert len(meter.visited) == 3 * len(subnets)  # in the same time
            rows = tuple(measurements(journal, subnets, "first", 3))
            found = with_quiet(Profile(TARGET, small, {}, None, 10.0, rows))
            errors += [abs(row.quiet_ms / row.subnet.params * 1e3 - 1) for row in found.ok if row.quiet_ms]
        wrong[name] = float(np.mean(errors)), float(np.percentile(errors, 90))
    assert wrong["shared out"][0] < 0.85 * wrong["alike"][0]
    assert wrong["shared out"][1] < 0.6 * wrong["alike"][1]


@pytest.mark.parametrize("stop", [79, 81, 95, 119])
def test_what_was_shared_out_is_the_same_after_a_kill(stop: int, small: SearchSpace, tmp_path: Path) -> None:
    subnets = many(small)
    whole = Journal.open(tmp_path / "whole", {})
    measure(Spells(0), subnets, rounds=3, seed=0, journal=whole)
    with pytest.raises(KeyboardInterrupt):
        measure(Spells(0, stop), subnets, rounds=3, seed=0, journal=Journal.open(tmp_path / "killed", {}))
    again, rest = Journal.open(tmp_path / "killed", {}), Spells(0)
    rest.visited = ["before"] * stop  # the machine goes on where it was
    measure(rest, subnets, rounds=3, seed=0, journal=again)
    assert again.attempts == whole.attempts
    assert {key[1] for key in whole.attempts} == set(range(6))
    done = Spells(1)
    measure(done, subnets, rounds=3, seed=0, journal=Journal.open(tmp_path / "killed", {}))
    assert done.visited == []
    fewer = Journal.open(tmp_path / "fewer", {})
    measure(Spells(0), subnets, rounds=2, seed=0, journal=fewer)
    assert {key[1] for key in fewer.attempts} == {0, 1}
