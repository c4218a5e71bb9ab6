"""Finalists of a search, measured another day: in the terms of the profile that their predictor learned from."""

from __future__ import annotations

import numpy as np
import pytest

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.estimate import Floats
from vitas_hw.profiling.later import Later, can_tell
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
ANCHOR_MS, OFTEN = 5.0, 0.1  # on the quiet machine; how much slower (ln) it was in the middle of the profile


def truth(subnet: Subnet) -> float:
    return 0.5 + subnet.params / 2e3


def slope(subnet: Subnet) -> float:
    return 0.9 - 0.2 * float(np.log(truth(subnet) / 12))


def visits(subnets: list[Subnet], slower: Floats, usual_ms: float, seed: int) -> list[Measurement]:
    """``slower``: (N, V) ln of the machine at each visit."""
    rng, rows = np.random.default_rng(seed), []
    for subnet, each in zip(subnets, slower, strict=True):
        rounds = [
            truth(subnet) * np.exp(slope(subnet) * now + rng.normal(0, 0.004) + rng.exponential(0.03, 40))
            for now in each
        ]
        drift = [ANCHOR_MS * float(np.exp(now + rng.normal(0, 0.004))) / usual_ms for now in each]
        rows.append(Measurement(subnet, tuple(tuple(one.tolist()) for one in rounds), tuple(drift)))
    return rows


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(400)))[:70]


@pytest.fixture
def profile(small: SearchSpace, subnets: list[Subnet]) -> Profile:
    rng, usual_ms = np.random.default_rng(0), ANCHOR_MS * float(np.exp(OFTEN))
    slower = np.where(rng.random((60, 3)) < 0.3, 0.0, OFTEN)
    return with_quiet(Profile(TARGET, small, {}, None, usual_ms, tuple(visits(subnets[:60], slower, usual_ms, 1))))


@pytest.mark.parametrize("now", [-0.1, 0.0, OFTEN, 0.4])
def test_whatever_the_machine_is_like_the_latency_is_the_profiles(
    now: float, profile: Profile, subnets: list[Subnet]
) -> None:
    level = ANCHOR_MS * float(np.exp(now))
    found = visits(subnets[60:], np.full((10, 5), now), level, 2)
    samples = np.random.default_rng(3).exponential(0.03, 10_000)
    p50 = np.array([truth(one.subnet) * np.exp(slope(one.subnet) * OFTEN + np.median(samples)) for one in found])
    quiet = np.array([truth(one.subnet) for one in found])
    assert Later(profile).latencies_ms(found, level) == pytest.approx(p50.tolist(), rel=0.03)
    assert Later(profile, None).latencies_ms(found, level) == pytest.approx(quiet.tolist(), rel=0.02)
    p90 = Later(profile, 90).latencies_ms(found, level)
    assert (np.array(p90) > 1.03 * p50).all()
    if now in (-0.1, 0.4):  # as it was done before: every subnet scaled like the anchor
        divided = np.array([one.latency_ms / (level / (profile.anchor_ms or 1)) for one in found])
        assert np.abs(divided / p50 - 1).max() > 0.045


def test_a_profile_without_an_anchor_cannot_tell(small: SearchSpace, subnets: list[Subnet], profile: Profile) -> None:
    rows = tuple(Measurement(subnet, ((1.0, 1.0),) * 3) for subnet in subnets)
    assert not can_tell(with_quiet(Profile(TARGET, small, {}, None, None, rows)))
    assert can_tell(profile)
