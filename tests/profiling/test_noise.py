"""Where the noise comes from, on simulated machines that have one source of it more than others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.noise import NoiseSplit, Quiet
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
SUBNETS = 40


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(300)))[:SUBNETS]


def measured(
    subnets: list[Subnet],
    seed: int,
    *,
    jitter: float = 0.0005,
    visit: float = 0.0005,
    loud: float = 0.0,
    session: float = 0.0,
    rounds: int = 4,
) -> list[Measurement]:
    rng = np.random.default_rng(seed)
    rows = []
    for subnet in subnets:
        level = np.log(1 + subnet.params / 1e4) + rng.normal(0, session)
        drift = np.exp(rng.exponential(loud, rounds)) if loud else np.ones(rounds)
        visits = [
            np.exp(level + 0.9 * np.log(now) + rng.normal(0, visit + 0.3 * np.log(now)) + rng.exponential(jitter, 3))
            for now in drift
        ]
        rows.append(Measurement(subnet, tuple(tuple(one.tolist()) for one in visits), tuple(drift.tolist())))
    return rows


def quiet_of(space: SearchSpace, first: list[Measurement], second: list[Measurement] | None = None) -> Quiet:
    found = with_quiet(Profile(TARGET, space, {}, None, 1.0, tuple(first)), second or ()).quiet
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("largest", "more"),
    [
        ("jitter", {"jitter": 0.05}),
        ("visit", {"visit": 0.02}),
        ("drift", {"loud": 0.5, "visit": 0.005}),
        ("session", {"session": 0.03}),
    ],
)
def test_the_largest_part_is_the_one_that_was_put_in(
    largest: str, more: dict[str, float], subnets: list[Subnet], small: SearchSpace
) -> None:
    found = quiet_of(small, measured(subnets, 0, **more), measured(subnets, 1, **more))
    assert found.split is not None
    assert found.split.largest == largest
    others = [getattr(found.split, name) for name in ("jitter", "visit", "drift", "session") if name != largest]
    assert getattr(found.split, largest) > 1.5 * max(others)


def test_the_parts_are_as_large_as_they_were(subnets: list[Subnet], small: SearchSpace) -> None:
    first, second = (measured(subnets, seed, visit=0.02, session=0.03) for seed in (0, 1))
    found = quiet_of(small, first, second)
    assert found.split is not None
    assert found.split.visit == pytest.approx(0.02 / 2, rel=0.3)  # of the mean of four visits
    assert found.split.session == pytest.approx(0.03, rel=0.3)
    assert found.floor is not None
    assert found.floor.pairs == SUBNETS
    assert found.floor.median == pytest.approx(0.67 * np.hypot(0.03, 0.01) * 2**0.5, rel=0.4)


def test_what_cannot_be_known_is_not_said(subnets: list[Subnet], small: SearchSpace) -> None:
    once = quiet_of(small, measured(subnets, 0, visit=0.02, rounds=1))
    assert (once.split, once.noise, once.floor) == (None, None, None)
    assert "each was visited once" in once.unknown
    twice = quiet_of(small, measured(subnets, 0), [])
    assert twice.split is not None
    assert twice.split.session is None
    assert twice.unknown == ""
    assert with_quiet(Profile(TARGET, small, {}, None, None, ())).quiet is None


def test_the_noise_floor_of_the_quiet_latency_is_lower_where_the_machine_is_loud(
    subnets: list[Subnet], small: SearchSpace
) -> None:
    first, second = (measured(subnets, seed, loud=0.2) for seed in (0, 1))
    found = quiet_of(small, first, second).floor
    assert found is not None
    plain = [abs(a.latency_ms / b.latency_ms - 1) for a, b in zip(first, second, strict=True)]
    assert found.mean < 0.7 * float(np.mean(plain))


def test_rows_that_were_measured_otherwise_are_left_alone(subnets: list[Subnet], small: SearchSpace) -> None:
    rows = measured(subnets, 0, loud=0.1)
    alien = Measurement(subnets[3], ((9.0,),), quiet_ms=8.0)
    failed = Measurement(subnets[4], failed="this engine cannot")
    profile = Profile(TARGET, small, {}, None, 1.0, (*rows[:3], alien, failed, *rows[5:]))
    found = with_quiet(profile)
    assert found.measurements[3:5] == (alien, failed)
    assert all(row.quiet_ms is not None for row in found.ok)
    without = with_quiet(replace(profile, measurements=tuple(row for row in profile.ok if row != alien)))
    assert found.measurements[:3] == without.measurements[:3]


def test_the_largest_of_nothing_much_has_a_name() -> None:
    assert NoiseSplit(0.0, 0.0, 0.1).largest == "drift"
