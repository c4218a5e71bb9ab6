"""The estimator against machines whose truth is known: simulated, fixed seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from vitas_hw.profiling.estimate import (
    USUAL_SLOPE,
    WITH_ANCHOR,
    WITHOUT_ANCHOR,
    Drift,
    Floats,
    Visits,
    estimate,
    fit_drift,
    jitter,
)

SUBNETS, SEEDS = 120, 5
VISIT, ANCHOR = 0.012, 0.008  # standard deviations of ln, at a visit and of the anchor


@dataclass(frozen=True)
class Simulated:
    """What a profiling of a simulated machine leaves, and the truth."""

    truth: Floats  # (N,) ms on the quiet machine
    slope: Floats  # (N,)
    rounds_ms: list[list[Floats]]
    drift: list[list[float]]

    @property
    def visits(self) -> Visits:
        return Visits.of(self.rounds_ms, self.drift)

    @property
    def work(self) -> Floats:
        """(N, 1) what a profile knows of its subnets without timing them."""
        return np.log(self.truth)[:, None]

    def median(self) -> Floats:
        """All samples' p50, no drift taken out."""
        return np.array([np.median(np.concatenate(visits)) for visits in self.rounds_ms])

    def today(self) -> Floats:
        """All samples' p50, each divided by its visit's drift."""
        corrected = [
            [visit / change for visit, change in zip(visits, changes, strict=True)]
            for visits, changes in zip(self.rounds_ms, self.drift, strict=True)
        ]
        return np.array([np.median(np.concatenate(visits)) for visits in corrected])


def machine(kind: str, visits: int, rng: np.random.Generator) -> Floats:
    """(V,) ln of how much slower it is at each visit."""
    time = np.linspace(0, 1, visits)
    if kind == "step":
        return np.where(time < 0.5, 0.0, 0.25)
    if kind == "ramp":
        return 0.4 * time
    if kind in ("two states", "by size", "noisy when loud"):
        return 0.35 * (np.cumsum(rng.random(visits) < 0.05) % 2)
    return np.zeros(visits)


def simulated(kind: str, seed: int, rounds: int = 3) -> Simulated:
    rng = np.random.default_rng(seed)
    truth = np.exp(rng.uniform(np.log(0.5), np.log(200), SUBNETS))
    relative = (np.log(truth) - np.log(truth).mean()) / np.log(truth).std()
    slope = 0.9 - 0.3 * relative if kind == "by size" else np.full(SUBNETS, 0.9)
    slower = machine(kind, SUBNETS * rounds, rng)
    rounds_ms: list[list[Floats]] = [[] for _ in truth]
    anchor: list[list[float]] = [[] for _ in truth]
    order = np.concatenate([rng.permutation(SUBNETS) for _ in range(rounds)])
    for row, now in zip(order, slower, strict=True):
        count = int(np.clip(60 / truth[row], 3, 200))
        if kind == "symmetric":
            spread = rng.normal(0, 0.006, count)
        else:
            spread = np.log1p(rng.exponential(0.02, count)) + 0.3 * (rng.random(count) < 0.05)
        noise = VISIT + (0.2 * now if kind == "noisy when loud" else 0)
        level = np.log(truth[row]) + slope[row] * now + rng.normal(0, noise)
        rounds_ms[row].append(np.exp(level + spread))
        anchor[row].append(float(np.exp(now + rng.normal(0, ANCHOR))))
    usual = np.median(np.concatenate(anchor))
    return Simulated(truth, slope, rounds_ms, [[float(one / usual) for one in found] for found in anchor])


def wrong(found_ms: Floats, truth: Floats) -> float:
    """Mean relative error, but for a factor that all share: a p50 and a low quantile differ by one."""
    apart = np.log(found_ms / truth)
    return float(np.abs(apart - np.median(apart)).mean())


def ratios(kind: str, rounds: int) -> tuple[float, float]:
    """Mean error of the estimate over that of the plain median, and over that of the median divided by drift."""
    ours, plain, divided = [], [], []
    for seed in range(SEEDS):
        found = simulated(kind, seed, rounds)
        ours.append(wrong(estimate(found.visits, about=found.work).quiet_ms, found.truth))
        plain.append(wrong(found.median(), found.truth))
        divided.append(wrong(found.today(), found.truth))
    return float(np.mean(ours) / np.mean(plain)), float(np.mean(ours) / np.mean(divided))


@pytest.mark.parametrize("rounds", [3, 5])
def test_a_quiet_machine_does_not_pay(rounds: int) -> None:
    over_plain, over_divided = ratios("still", rounds)
    assert over_plain <= 0.97
    assert over_divided <= 0.87  # dividing by the anchor adds the anchor's own noise


@pytest.mark.parametrize("rounds", [3, 5])
def test_jitter_that_is_no_machines_costs_little(rounds: int) -> None:
    """Samples that err to both sides alike, as no neighbour makes them: a median of them is better than a low quantile,
    but not than a median that is divided by the anchor.
    """
    over_plain, over_divided = ratios("symmetric", rounds)
    assert over_plain <= 1.1
    assert over_divided <= 0.9


@pytest.mark.parametrize(
    ("kind", "rounds", "most"),
    [
        ("step", 3, 0.8),
        ("ramp", 3, 0.85),
        ("two states", 3, 0.7),
        ("by size", 3, 0.25),
        ("step", 1, 0.75),
        ("two states", 1, 0.65),
        ("by size", 1, 0.35),
    ],
)
def test_it_is_better_where_the_machine_drifts(kind: str, rounds: int, most: float) -> None:
    over_plain, over_divided = ratios(kind, rounds)
    assert over_divided <= most
    assert over_plain <= 0.3


def test_the_slope_and_its_dependence_on_size_are_found() -> None:
    found = simulated("by size", 0)
    drift = fit_drift(found.visits)
    assert (drift.slope, drift.by_size) == pytest.approx((0.9, -0.3), abs=0.02)
    assert drift.slopes(found.visits.size) == pytest.approx(found.slope, abs=0.05)


def test_loud_visits_count_less_where_they_are_noisier() -> None:
    better = []
    for seed in range(SEEDS):
        found = simulated("noisy when loud", seed)
        drift = fit_drift(found.visits)
        assert drift.louder >= 0.12
        ours = wrong(estimate(found.visits, drift).quiet_ms, found.truth)
        better.append(ours / wrong(estimate(found.visits, replace(drift, louder=0.0)).quiet_ms, found.truth))
    assert np.mean(better) < 0.8
    assert fit_drift(simulated("two states", 0).visits).louder < 0.1


@pytest.mark.parametrize("kind", ["still", "step", "two states", "by size", "noisy when loud"])
def test_the_errors_are_as_large_as_they_are_said_to_be(kind: str) -> None:
    beyond = []
    for seed in range(SEEDS):
        found = simulated(kind, seed)
        made = estimate(found.visits)
        assert made.error is not None
        apart, size = np.log(made.quiet_ms / found.truth), np.log(found.truth)
        # a low quantile of three samples is not one of two hundred: what depends on size alone is no error
        beyond.append((apart - np.polyval(np.polyfit(size, apart, 2), size)) / made.error)
    inside = np.abs(np.concatenate(beyond))
    assert 0.6 < (inside < 1).mean() < 0.8  # 0.68 of a normal distribution
    assert 0.9 < (inside < 2).mean() < 0.99


def test_a_subnet_whose_visits_differ_is_less_sure() -> None:
    found = simulated("still", 0)
    before = estimate(found.visits).error
    found.rounds_ms[7][0] = found.rounds_ms[7][0] * 1.15
    after = estimate(found.visits).error
    assert before is not None
    assert after is not None
    assert after[7] > 1.5 * before[7]
    assert np.median(after / before) == pytest.approx(1, abs=0.05)


def test_a_drift_fitted_to_others_is_not_fitted_again() -> None:
    found = simulated("two states", 0)
    given = Drift(0.5, 0.1, 2.0, 1.5, 0.06)
    made = estimate(found.visits, given)
    assert made.drift == given
    assert not np.allclose(made.quiet_ms, estimate(found.visits).quiet_ms, rtol=0.02)


def test_with_one_visit_each_it_says_that_the_noise_cannot_be_known() -> None:
    found = simulated("two states", 0, rounds=1)
    made = estimate(found.visits)
    assert (made.error, made.noise) == (None, None)
    assert made.unknown == ("How noisy the latencies of these subnets are cannot be estimated: each was visited once.")
    assert made.drift == Drift()  # nothing to fit it to either
    few = Visits.of([*found.rounds_ms[:9], found.rounds_ms[9] * 2], [*found.drift[:9], found.drift[9] * 2])
    assert "only 1 visits repeat a subnet's first" in estimate(few).unknown


def test_without_an_anchor_it_is_the_plain_rule_with_an_error() -> None:
    found = simulated("still", 0)
    made = estimate(Visits.of(found.rounds_ms, [[]] * SUBNETS))
    assert made.quiet_ms == pytest.approx(found.median())
    assert made.error is not None
    assert made.sentence == WITHOUT_ANCHOR != estimate(found.visits).sentence == WITH_ANCHOR


def test_a_visit_on_a_machine_that_was_never_quieter_counts_as_it_is() -> None:
    row = [np.full(5, 10.0)]
    visits = Visits.of([row] * 20, [[1.0]] * 20)
    assert estimate(visits).quiet_ms == pytest.approx(np.full(20, 10.0))
    slower = Visits.of([row] * 20, [[1.2]] * 20, quiet=1.0)
    assert estimate(slower).quiet_ms == pytest.approx(np.full(20, 10.0 / 1.2**USUAL_SLOPE))


def test_what_was_seen_is_not_exceeded_by_much() -> None:
    visits = Visits.of([[[10.0], [13.0], [13.0]]] * 20, [[1.0, 1.0, 1.0]] * 20)
    assert estimate(visits).quiet_ms == pytest.approx(np.full(20, 10.0 * np.exp(0.03)))


@pytest.mark.parametrize("count", [3, 20, 60, 200])
def test_the_jitter_is_what_more_samples_would_change(count: int) -> None:
    rng = np.random.default_rng(count)
    draws = 5 + rng.exponential(0.1, (4000, count))
    rank = int((count - 1) * 0.05)
    really = np.log(np.sort(draws, axis=1)[:, rank]).std()
    said = np.sqrt(np.mean([jitter(draw) ** 2 for draw in draws]))
    assert said == pytest.approx(really, rel=0.1)
    assert np.isnan(jitter([1.0]))
