"""The labels of predictors: quiet latencies and p50s from a profile's visits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import P50, P90, QUIET
from vitas_hw.profiling.labels import ProfileLabels, ratio_by_size
from vitas_hw.profiling.profile import Measurement

COUNT, SAMPLES = 200, 15
SLOPE = 0.6  # the anchor over-corrects


@pytest.fixture(scope="module")
def machine(digits_space: SearchSpace) -> tuple[list[Measurement], np.ndarray]:
    """Two visits each on a machine that is loud half of the time, and what each subnet takes when it is quiet."""
    rng = np.random.default_rng(0)
    subnets = list(dict.fromkeys(digits_space.sample(rng) for _ in range(COUNT)))
    quiet = np.array([0.1 * subnet.depth + subnet.macs * 2e-8 for subnet in subnets])
    rows = []
    for subnet, ms in zip(subnets, quiet, strict=True):
        loud = np.where(rng.random(2) < 0.5, rng.exponential(0.2, 2), 0.0)
        slowed = ms * np.exp(SLOPE * loud + rng.normal(0, 0.01 + 0.15 * loud))
        samples = slowed[:, None] * (1 + 0.002 + rng.exponential(0.03, (2, SAMPLES)))
        rows.append(
            Measurement(subnet, tuple(map(tuple, samples.tolist())), tuple(np.exp(loud + rng.normal(0, 0.005, 2))))
        )
    return rows, quiet


@pytest.fixture(scope="module")
def digits_space() -> SearchSpace:
    import vitas_hw as vh

    return vh.load_space("vitas-digits")


def miss(found: np.ndarray, truth: np.ndarray) -> float:
    """Median relative distance beside a level that all have in common."""
    ratio = found / truth
    return float(np.median(np.abs(ratio / np.median(ratio) - 1)))


def everyone(rows: list[Measurement], statistic: str) -> np.ndarray:
    return ProfileLabels(rows, statistic)(np.arange(len(rows))).measured


def test_quiet_labels_are_nearer_the_truth_than_p50s(machine: tuple) -> None:
    rows, quiet = machine
    found = ProfileLabels(rows, QUIET)(np.arange(len(rows)))
    assert miss(found.measured, quiet) < 0.6 * miss(np.array([row.latency_ms for row in rows]), quiet)
    assert np.median(found.measured / quiet) == pytest.approx(1, abs=0.015)
    assert found.error is not None
    missed = np.abs(found.measured / quiet - 1)
    sure = found.error <= np.median(found.error)
    assert missed[sure].mean() < missed[~sure].mean()
    assert found.visits is not None
    assert found.visits.shape == (len(rows), 2)


def test_p50_labels_have_the_p50s_level_and_less_of_their_noise(machine: tuple) -> None:
    rows, quiet = machine
    plain, found = np.array([row.latency_ms for row in rows]), everyone(rows, P50)
    assert np.median(found / plain) == pytest.approx(1, abs=0.005)
    assert miss(found, quiet) < 0.6 * miss(plain, quiet)


def test_p90_labels_are_made_as_p50s_are(machine: tuple) -> None:
    rows, quiet = machine
    plain, found = np.array([row.percentile(90) for row in rows]), everyone(rows, P90)
    assert np.median(found / plain) == pytest.approx(1, abs=0.01)
    assert (found > everyone(rows, P50)).all()
    assert miss(found, quiet) < 0.6 * miss(plain, quiet)
    alone = [replace(row, drift=()) for row in rows]
    without = ProfileLabels(alone, P90)(np.arange(len(rows)))
    assert without.measured.tolist() == [row.percentile(90) for row in alone]
    assert without.visits is not None
    assert np.median(without.visits / without.measured[:, None]) == pytest.approx(1, abs=0.05)


def test_a_row_that_is_not_fitted_to_changes_no_other_label(machine: tuple) -> None:
    """Whatever a tested row's samples are: its drift and latency are in nobody's correction, and not in its own."""
    rows, _ = machine
    tested, seen = np.arange(0, len(rows), 5), np.setdiff1d(np.arange(len(rows)), np.arange(0, len(rows), 5))
    odd = list(rows)
    for number in tested:
        visits = tuple(tuple(3 * ms for ms in visit) for visit in rows[number].rounds_ms)
        odd[number] = replace(rows[number], rounds_ms=visits)
    for statistic in (QUIET, P50):
        usual, changed = (ProfileLabels(some, statistic)(seen) for some in (rows, odd))
        assert changed.measured[seen] == pytest.approx(usual.measured[seen], rel=1e-12)
        assert not np.allclose(everyone(odd, statistic)[seen], everyone(rows, statistic)[seen], rtol=1e-6)
    assert ProfileLabels(odd, QUIET)(seen).measured[tested] == pytest.approx(
        3 * ProfileLabels(rows, QUIET)(seen).measured[tested], rel=0.05
    )


def test_a_row_that_a_search_measured_keeps_its_p50(machine: tuple) -> None:
    rows, _ = machine
    mixed = [Measurement(rows[0].subnet, ((7.0,),)), *rows[1:]]
    p50, quiet = (ProfileLabels(mixed, statistic)(np.arange(len(mixed))) for statistic in (P50, QUIET))
    assert p50.measured[0] == 7.0
    assert 0.8 < quiet.measured[0] / 7.0 < 1.0
    told = [replace(mixed[0], quiet_ms=6.5), *rows[1:]]
    assert everyone(told, QUIET)[0] == 6.5
    assert p50.error is not None
    assert p50.error[0] == pytest.approx(np.median(p50.error[1:]))
    assert p50.measured[1:] == pytest.approx(everyone(rows[1:], P50), rel=1e-12)


@pytest.mark.parametrize("statistic", [P50, QUIET])
def test_without_an_anchor_both_are_p50s(statistic: str, machine: tuple) -> None:
    rows = [replace(row, drift=()) for row in machine[0]]
    found = ProfileLabels(rows, statistic)(np.arange(len(rows)))
    assert found.measured.tolist() == pytest.approx([row.latency_ms for row in rows])
    assert found.visits is not None


def test_a_ratio_by_size_is_that_of_the_many() -> None:
    rng = np.random.default_rng(0)
    known = rng.lognormal(1, 1, 300)
    other = known * np.exp(0.05 - 0.02 * np.log(known) + rng.normal(0, 0.005, 300))
    other[::10] *= 2
    found = ratio_by_size(known, other)(np.array([1.0, 8.0]))
    assert found == pytest.approx(np.exp([0.05, 0.05 - 0.02 * np.log(8)]), rel=0.005)
    assert ratio_by_size(known[1:9], other[1:9])(np.array([1.0, 100.0])) == pytest.approx(
        np.median(other[1:9] / known[1:9]), rel=0.02
    )
