from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.cluster.visits import Errand, Report, Spread
from vitas_hw.core.errors import VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import measure, measurements, passes
from vitas_hw.profiling.timing import Visit

ROUNDS = 3


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(30)))[:16]


def timed(subnet: Subnet, slowness: tuple[float, float] = (1.0, 1.0)) -> Visit:
    ms = subnet.params / 1e3 * sum(slowness) / 2
    return Visit((ms, ms, ms), (10.0 * slowness[0],), (10.0 * slowness[1],))


class Fleet:
    """Devices whose visits end in any order."""

    def __init__(
        self, subnets: list[Subnet], path: Path, devices: tuple[str, ...] = ("x", "y", "z"), *, shared_out: bool = False
    ) -> None:
        self.journal = Journal.open(path, {})
        self.ticks: list[int] = []
        self.errands: list[Errand] = []
        looked_into = self.journal if shared_out else None
        self.plan = lambda: passes(
            {"first": subnets, "second": subnets[::4]}, rounds=ROUNDS, seed=0, journal=looked_into
        )
        self.spread = Spread(
            devices, self.plan(), self.journal, away_from={"second": "first"}, on_visit=lambda: self.ticks.append(1)
        )

    def run(self, end: Callable[[Errand], Report | str], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        under_way: list[Errand] = []
        while True:
            started = self.spread.errands()
            self.errands += started
            under_way += started
            assert len({errand.device for errand in under_way}) == len(under_way)  # one at a time
            if not under_way:
                return
            errand = under_way.pop(rng.integers(len(under_way)))
            found = end(errand)
            if isinstance(found, str):
                self.spread.lose(errand.device, found)
            else:
                self.spread.keep(errand.device, found)


def fine(errand: Errand) -> Report:
    return Report(timed(errand.subnet))


@pytest.mark.parametrize("seed", range(5))
def test_each_visit_is_made_once_and_rounds_do_not_mix(subnets: list[Subnet], tmp_path: Path, seed: int) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    fleet.run(fine, seed)
    assert len(fleet.ticks) == len(fleet.errands) == ROUNDS * (len(subnets) + len(subnets[::4]))
    assert all(len(visits) == 1 for visits in fleet.journal.attempts.values())
    rounds = [key[:2] for key in fleet.journal.attempts]
    assert rounds == sorted(rounds)
    assert min(Counter(errand.device for errand in fleet.errands).values()) > len(subnets) / 2
    alone = Journal.open(tmp_path / "alone", {})
    measure(Alone(), subnets, rounds=ROUNDS, seed=0, journal=alone)
    assert measurements(fleet.journal, subnets, "first", ROUNDS) == measurements(alone, subnets, "first", ROUNDS)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_rounds_visits_are_shared_out_over_devices_too(
    subnets: list[Subnet], tmp_path: Path, seed: int
) -> None:
    noise = np.random.default_rng(seed)

    def noisy(errand: Errand) -> Report:
        slow = float(np.exp(noise.exponential(0.05)))
        return Report(Visit((timed(errand.subnet).samples_ms[0] * slow,) * 3, (10.0,), (10.0,)))

    fleet = Fleet(subnets, tmp_path / "journal", shared_out=True)
    fleet.run(noisy, seed)
    assert len(fleet.ticks) == len(fleet.errands) == ROUNDS * (len(subnets) + len(subnets[::4]))
    keys = list(fleet.journal.attempts)
    assert [key[:2] for key in keys] == sorted(key[:2] for key in keys)  # a portion begins when the one before is over
    assert {key[1] for key in keys if key[0] == "first"} == set(range(5))  # two rounds of all, three portions
    made = Counter(key[2] for key in keys if key[0] == "first")
    assert min(made.values()) == 2 < max(made.values())
    again = Fleet(subnets, tmp_path / "journal", shared_out=True)
    again.run(noisy)
    assert not again.errands


def test_a_measurement_whose_time_is_up_gets_no_more_visits_and_goes_on_later(
    subnets: list[Subnet], tmp_path: Path
) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    left, up = 7, {"first"}

    def end(errand: Errand) -> Report:
        nonlocal left
        left -= 1
        return fine(errand)

    fleet.spread = Spread(
        ("x", "y"), fleet.plan(), fleet.journal, away_from={}, time_is_up=lambda name: name in up and left <= 0
    )
    fleet.run(end)
    made = Counter(key[0] for key in fleet.journal.attempts)
    assert made == {"first": 8, "second": ROUNDS * len(subnets[::4])}  # the seventh ends, and what began beside it
    assert not fleet.spread.whole
    again = Fleet(subnets, tmp_path / "journal")
    again.run(fine)
    assert again.spread.whole
    assert len(again.errands) == ROUNDS * len(subnets) - 8


class Alone:
    def visit(self, subnet: Subnet) -> Visit:
        return timed(subnet)

    def renew(self, measurement: str) -> None:
        pass


def test_each_device_begins_each_round_anew(subnets: list[Subnet], tmp_path: Path) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    fleet.run(lambda errand: Report(timed(errand.subnet), conditions={"load": 1} if errand.anew else None))
    anew = Counter(errand.device for errand in fleet.errands if errand.anew)
    assert all(ROUNDS < count <= 2 * ROUNDS for count in anew.values())
    seen = [(line["measurement"], line["round"], line["conditions"]["device"]) for line in fleet.journal.conditions]
    assert len(set(seen)) == len(seen) == anew.total()


@pytest.mark.parametrize("seed", range(5))
def test_a_second_measurement_is_another_devices(subnets: list[Subnet], tmp_path: Path, seed: int) -> None:
    fleet = Fleet(subnets, tmp_path / "journal", ("x", "y"))
    fleet.run(fine, seed)
    made_by = Journal.open(tmp_path / "journal", {}).devices
    seconds = [key for key in made_by if key[0] == "second"]
    assert len(seconds) == ROUNDS * len(subnets[::4])
    assert all(made_by[key] != made_by["first", *key[1:]] for key in seconds)


@pytest.mark.parametrize("when", [1, 7, 48, 55])
def test_a_lost_device_loses_no_visit(subnets: list[Subnet], tmp_path: Path, when: int) -> None:
    fleet = Fleet(subnets, tmp_path / "journal", ("x", "y"))
    ended = 0

    def end(errand: Errand) -> Report | str:
        nonlocal ended
        ended += errand.device == "x"
        return "It burns." if errand.device == "x" and ended == min(when, 20) else fine(errand)

    fleet.run(end)
    assert all(len(visits) == 1 for visits in fleet.journal.attempts.values())
    assert len(fleet.journal.attempts) == len(fleet.ticks) == ROUNDS * (len(subnets) + len(subnets[::4]))
    assert ended == min(when, 20)


def test_when_the_last_device_is_lost_a_new_fleet_goes_on(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    fleet = Fleet(subnets, path)
    left = 20

    def end(errand: Errand) -> Report | str:
        nonlocal left
        left -= 1
        return fine(errand) if left >= 0 else "It burns."

    with pytest.raises(VitasError, match=r"The last device, ., is lost: It burns. 20 visits are kept.*to resume"):
        fleet.run(end)
    again = Fleet(subnets, path)
    again.run(fine)
    assert len(again.errands) == ROUNDS * (len(subnets) + len(subnets[::4])) - 20
    assert all(len(visits) == 1 for visits in again.journal.attempts.values())
    assert len(again.ticks) == ROUNDS * (len(subnets) + len(subnets[::4]))
    done = Fleet(subnets, path)
    done.run(fine)
    assert not done.errands


def test_a_visit_in_which_a_machine_changed_is_repeated_at_the_end_of_its_round(
    subnets: list[Subnet], tmp_path: Path
) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    jumped: list[str] = []

    def end(errand: Errand) -> Report:
        if not jumped:
            jumped.append(errand.subnet.digest)
            return Report(timed(errand.subnet, (1.0, 1.5)))
        return fine(errand)

    fleet.run(end)
    assert fleet.errands[len(subnets)].subnet.digest == jumped[0]
    attempts = Counter(len(visits) for visits in fleet.journal.attempts.values())
    assert attempts[2] == 1
    assert set(attempts) == {1, 2}
    assert len(fleet.ticks) == len(fleet.errands) - 1


def test_a_subnet_that_cannot_run_is_tried_once(subnets: list[Subnet], tmp_path: Path) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    bad = subnets[4]
    fleet.run(lambda errand: Report(None, "this engine cannot") if errand.subnet == bad else fine(errand))
    assert fleet.journal.failures == {bad.digest: "this engine cannot"}
    assert sum(errand.subnet == bad for errand in fleet.errands) == 1
    assert len(fleet.ticks) == ROUNDS * (len(subnets) + len(subnets[::4]))


def test_a_failure_that_may_pass_is_not_kept_for_the_next_fleet(subnets: list[Subnet], tmp_path: Path) -> None:
    path, bad = tmp_path / "journal", subnets[4]
    lost = Report(None, "CUDA out of memory", passing=True)
    fleet = Fleet(subnets, path)
    fleet.run(lambda errand: lost if errand.subnet == bad else fine(errand))
    assert (fleet.journal.failures, fleet.journal.passing) == ({}, {bad.digest: "CUDA out of memory"})
    assert sum(errand.subnet == bad for errand in fleet.errands) == 1
    again = Fleet(subnets, path)
    again.run(fine)
    assert {errand.subnet for errand in again.errands} == {bad}
    assert len(again.errands) == ROUNDS * (2 if bad in subnets[::4] else 1)


def test_when_nothing_runs_the_reason_is_said(subnets: list[Subnet], tmp_path: Path) -> None:
    fleet = Fleet(subnets, tmp_path / "journal")
    with pytest.raises(VitasError, match=r"None of the first 5 subnets runs.*this engine cannot.*doctor"):
        fleet.run(lambda errand: Report(None, "this engine cannot"))
