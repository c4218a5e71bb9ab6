"""The statistics and the ranks of the study whether the search pays, on made-up top-1 with known answers."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
sys.path.append(str(Path(__file__).parent.parent / "benchmarks/pays"))
import pays_report
import pays_statistics as statistics
import run_study
from pays_nets import CEILINGS, Net, uniform

CELLS = [(ceiling, seed) for ceiling in CEILINGS for seed in (0, 1, 2)]


def level(value):
    return dict.fromkeys(CEILINGS, [value] * 8)


def test_a_constant_difference_has_no_width():
    found = statistics.compare({cell: [0.91, 0.91] for cell in CELLS}, level(0.9))
    assert found["mean"] == 0.01
    assert found["bootstrap_95"] == found["t_95"] == [0.01, 0.01]
    decided = statistics.decision(found, found)
    assert decided == {"claim": True, "goal": True, "why": "all conditions hold"}


@pytest.mark.parametrize("axis", [0, 1])
def test_two_good_ceilings_or_supernets_of_three_are_no_claim(axis):
    """Nine cells drawn alone would give an interval above 0: ceilings and supernets are drawn whole."""
    bad = CELLS[0][axis]
    found = statistics.compare({cell: [0.9 if cell[axis] == bad else 0.93] for cell in CELLS}, level(0.9))
    assert found["mean"] == 0.02
    assert found["bootstrap_95"] == [0.0, 0.03]
    cells = np.array([*found["cells"].values()])
    naive = cells[np.random.default_rng(0).integers(0, 9, (4000, 9))].mean(axis=1)
    assert np.percentile(naive, 2.5) > 0
    assert found["t_95"] == pytest.approx(stats.ttest_1samp(cells, 0).confidence_interval(), abs=1e-5)
    assert statistics.decision(found, found)["claim"] is False


def test_the_noise_of_the_other_arm_counts():
    others = {ceiling: [0.86, 0.94] * 4 for ceiling in CEILINGS}
    low, high = statistics.compare({cell: [0.91] for cell in CELLS}, others)["bootstrap_95"]
    # a mean of eight has a standard deviation of 0.04 / sqrt(8); three or fewer ceilings are drawn
    assert low < 0.01 - 1.96 * 0.04 / 24**0.5 < 0.01 + 1.96 * 0.04 / 24**0.5 < high


def test_a_missing_cell_is_left_out():
    found = statistics.compare({("1M", 0): [0.91], ("6M", 2): [0.93]}, level(0.9))
    assert found["mean"] == 0.02
    assert set(found["cells"]) == {"1M, supernet 0", "6M, supernet 2"}
    assert statistics.compare({("latency", 0): [0.9]}, level(0.9)) is None
    assert statistics.compare({("1M", 0): [0.91]}, level(0.9))["t_95"] == [None, None]


@pytest.mark.parametrize(
    ("over_hand", "claim", "goal", "why"),
    [(0.002, False, False, "not 0.3 points above by hand"), (0.004, True, False, ""), (0.011, True, True, "")],
)
def test_by_hand_must_be_beaten_by_three_tenths_of_a_point(over_hand, claim, goal, why):
    mine = {cell: [0.9 + over_hand] for cell in CELLS}
    decided = statistics.decision(statistics.compare(mine, level(0.8)), statistics.compare(mine, level(0.9)))
    assert (decided["claim"], decided["goal"]) == (claim, goal)
    assert why in decided["why"]


def test_random_must_be_beaten_too():
    mine = {cell: [0.91] for cell in CELLS}
    decided = statistics.decision(statistics.compare(mine, level(0.92)), statistics.compare(mine, level(0.9)))
    assert decided["claim"] is False
    assert "above the mean random net" in decided["why"]


def test_the_percentile_among_random_nets():
    others = {"1M": [0.1, 0.2, 0.3, 0.4], "3M": [0.1, 0.2, 0.3, 0.4]}
    assert statistics.percentile({("1M", 0): [0.3, 0.4]}, others) == 0.75
    assert statistics.percentile({("1M", 0): [0.4], ("3M", 0): [0.0]}, others) == 0.4375
    assert statistics.percentile({}, others) is None


def test_intervals_seldom_miss_a_difference_of_nothing():
    """Ours and random from one distribution, with a shift common to a supernet: a claim needs both intervals."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(60):
        supernets = rng.normal(0, 0.002, 3)
        mine = {cell: (0.9 + supernets[cell[1]] + rng.normal(0, 0.003, 2)).tolist() for cell in CELLS}
        others = {ceiling: (0.9 + rng.normal(0, 0.003, 8)).tolist() for ceiling in CEILINGS}
        found = statistics.compare(mine, others)
        wrong += found["bootstrap_95"][0] > 0 and found["t_95"][0] > 0
    assert wrong <= 6  # of 60; one side of a 95% interval gives 1.5


def test_the_rank_of_made_up_nets(monkeypatch):
    nets = [Net("random", "1M", str(number), uniform(7, 2, 8 + number)) for number in range(6)]
    monkeypatch.setattr(run_study, "drawn", lambda: tuple(nets))
    digests = [net.subnet.digest for net in nets]
    found = {(digest, seed): 0.8 + 0.01 * number for number, digest in enumerate(digests) for seed in (0, 1)}
    loss = {digest: {"loss": 1.0 + 0.1 * number, "top1": 0.5} for number, digest in enumerate(digests)}
    searches = [{"kind": "scores", "scheme": "ordinal", "seed": 0, "scores": loss}]
    result = pays_report.rank(searches, found)
    tau = {name: order["tau"]["value"] for name, order in result["orders"].items()}
    assert tau["one seed against the other"] == tau["MACs"] == tau["parameters"] == 1.0
    assert tau["ordinal, seed 0"] == -1.0  # a higher loss is worse
    assert result["orders"]["ordinal, seed 0"]["lost_top1"]["value"] == pytest.approx(0.05)
    assert pays_report.rank([], {key: 0.5 for key in found if key[1] == 0}) is None
