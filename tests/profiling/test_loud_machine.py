"""A machine of two states, simulated with a clock: what repeating loud visits is worth at equal total time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clocks import Clock

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import ATTEMPTS, LOUD, measure, measurements, passes
from vitas_hw.profiling.profile import Profile, with_quiet
from vitas_hw.profiling.timing import Visit

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
SUBNETS, ROUNDS, SEEDS = 40, 3, 8
SLOWER, SPELL_S = 0.35, 10.0  # ln of how much slower a loud machine is, and how long it stays so
ANCHOR_MS, BUILD_S, WARM_S = 10.0, 0.03, 0.05
PATIENCE = 5


class TwoStates:
    """Loud by spells for a share of the time, which passes with whatever is timed; noisier then, too."""

    def __init__(self, seed: int, share: float, stop_after: int | None = None) -> None:
        self.clock, self.visited, self._stop_after = Clock(0.0), list[str](), stop_after
        self._rng, world = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        means = np.tile([2 * SPELL_S * share, 2 * SPELL_S * (1 - share)], 200)
        self._ends = np.cumsum(world.exponential(1.0, 400) * means)
        self._quiet = share == 0

    def now(self) -> float:
        """Ln of how much slower it is than ever."""
        return 0.0 if self._quiet or np.searchsorted(self._ends, self.clock.at) % 2 else SLOWER

    def anchor(self) -> tuple[float, ...]:
        now = self.now()
        self.clock.at += 0.03 * np.exp(now)
        return (ANCHOR_MS * float(np.exp(now + self._rng.normal(0, 0.008))),)

    def renew(self, measurement: str) -> None:
        pass

    def visit(self, subnet: Subnet, before: tuple[float, ...] | None = None) -> Visit:
        if self._stop_after is not None and len(self.visited) >= self._stop_after:
            raise KeyboardInterrupt
        self.visited.append(subnet.digest)
        self.clock.at += BUILD_S
        before, now = before or self.anchor(), self.now()
        self.clock.at += WARM_S * np.exp(now)
        level = np.log(subnet.params / 1e3) + 0.9 * now + self._rng.normal(0, 0.012 + 0.2 * now)
        samples = np.exp(level + np.log1p(self._rng.exponential(0.02, 5)))
        self.clock.at += samples.sum() / 1e3
        return Visit(tuple(samples.tolist()), before, self.anchor())


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(300)))[:SUBNETS]


def plain(meter: TwoStates, subnets: list[Subnet], journal: Journal, until: float) -> None:
    """Rounds as nobody looks at the anchor, until the time is over."""
    for pass_ in passes({"first": subnets}, rounds=50, seed=0):
        for subnet in pass_.order if pass_.attempt == 0 else ():
            if meter.clock.at >= until:
                return
            journal.add_visit("first", pass_.round_, subnet.digest, meter.visit(subnet))


def put_off(meter: TwoStates, subnets: list[Subnet], journal: Journal, until: float) -> None:
    """The same, but where the anchor says that the machine is loud the subnet waits for its turn to come again, at most
    ``PATIENCE`` times a round.
    """
    for pass_ in passes({"first": subnets}, rounds=50, seed=0):
        queue, waited = deque(pass_.order if pass_.attempt == 0 else ()), Counter[Subnet]()
        while queue:
            if meter.clock.at >= until:
                return
            subnet, before = queue.popleft(), meter.anchor()
            if before[0] > (1 + LOUD) * ANCHOR_MS and waited[subnet] < PATIENCE:
                queue.append(subnet)
                waited[subnet] += 1
            else:
                journal.add_visit("first", pass_.round_, subnet.digest, meter.visit(subnet, before))


def errors(journal: Journal, subnets: list[Subnet], space: SearchSpace) -> list[float]:
    """Relative ones of ``quiet_ms``, but for a factor that all share."""
    rows = tuple(measurements(journal, subnets, "first", 50))
    found = with_quiet(Profile(TARGET, space, {}, None, ANCHOR_MS, rows)).ok
    assert len(found) == len(subnets)
    apart = np.log([(row.quiet_ms or np.nan) / row.subnet.params for row in found])
    return list(np.abs(apart - np.median(apart)))


def compared(
    share: float, subnets: list[Subnet], space: SearchSpace, folder: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean error and 90th percentile of each way, all in the time that ours takes."""
    found: dict[str, list[float]] = {"ours": [], "plain": [], "put off": []}
    others: dict[str, Callable[..., None]] = {"plain": plain, "put off": put_off}
    for seed in range(SEEDS):
        meter, journal = TwoStates(seed, share), Journal.open(folder / f"ours {seed}", {})
        measure(meter, subnets, rounds=ROUNDS, seed=0, journal=journal)
        found["ours"] += errors(journal, subnets, space)
        for name, way in others.items():
            journal = Journal.open(folder / f"{name} {seed}", {})
            way(TwoStates(seed, share), subnets, journal, meter.clock.at)
            found[name] += errors(journal, subnets, space)
    mean = {name: float(np.mean(one)) for name, one in found.items()}
    return mean, {name: float(np.percentile(one, 90)) for name, one in found.items()}


@pytest.mark.parametrize(("share", "most"), [(0.3, 1.0), (0.5, 0.9), (0.7, 0.75)])
def test_repeating_loud_visits_is_better_in_the_same_time_and_waiting_for_quiet_no_better(
    share: float, most: float, subnets: list[Subnet], small: SearchSpace, tmp_path: Path
) -> None:
    mean, high = compared(share, subnets, small, tmp_path)
    assert mean["ours"] < most * mean["plain"]
    assert high["ours"] < most * high["plain"]
    assert mean["ours"] < 1.05 * mean["put off"]


def test_a_quiet_machine_pays_nothing(subnets: list[Subnet], small: SearchSpace, tmp_path: Path) -> None:
    mean, _ = compared(0.0, subnets, small, tmp_path)
    assert mean["ours"] == pytest.approx(mean["plain"], rel=0.15)
    meter = TwoStates(0, 0.0)
    measure(meter, subnets, rounds=ROUNDS, seed=0, journal=Journal.open(tmp_path / "once more", {}))
    assert len(meter.visited) == ROUNDS * SUBNETS


def test_what_is_repeated_is_loud_and_at_most_half_of_a_round(subnets: list[Subnet], tmp_path: Path) -> None:
    meter, journal = TwoStates(3, 0.8), Journal.open(tmp_path / "journal", {})
    measure(meter, subnets, rounds=ROUNDS, seed=0, journal=journal)
    repeated = {key: made for key, made in journal.attempts.items() if len(made) > 1}
    steady = [made for made in repeated.values() if made[0].unsteadiness < 0.15]
    assert steady
    assert min(made[0].anchor_ms for made in steady) > 12
    assert max(map(len, repeated.values())) <= ATTEMPTS
    assert not [key for key, made in repeated.items() if key[1] >= 2 and made[0].unsteadiness < 0.15]
    again = Counter(key[1] for key, made in repeated.items() for _ in made[1:])
    unsteady = sum(made[0].unsteadiness >= 0.15 for made in repeated.values())
    assert max(again.values()) <= SUBNETS / 2 + ATTEMPTS * unsteady
    assert again[0] >= SUBNETS / 2  # of 0.8 of a round


@pytest.mark.parametrize("stop", [30, 41, 55, 62, 90, 110, 130, 145])
def test_a_killed_profiling_repeats_what_it_would_have(stop: int, subnets: list[Subnet], tmp_path: Path) -> None:
    whole = Journal.open(tmp_path / "whole", {})
    meter = TwoStates(3, 0.6)
    measure(meter, subnets, rounds=ROUNDS, seed=0, journal=whole)
    assert stop < len(meter.visited)
    killed = TwoStates(3, 0.6, stop)
    with pytest.raises(KeyboardInterrupt):
        measure(killed, subnets, rounds=ROUNDS, seed=0, journal=Journal.open(tmp_path / "killed", {}))
    killed._stop_after = None  # the machine goes on where it was
    again = Journal.open(tmp_path / "killed", {})
    measure(killed, subnets, rounds=ROUNDS, seed=0, journal=again)
    assert again.attempts == whole.attempts
    done = TwoStates(4, 1.0)  # what comes later changes no judgement
    assert measure(done, subnets, rounds=ROUNDS, seed=0, journal=Journal.open(tmp_path / "killed", {}))
    assert done.visited == []
