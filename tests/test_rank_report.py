"""The statistics of the rank study on made-up rows whose answers are known."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import rank_report
import rank_statistics as ranks
import rank_study

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def subnets():
    return rank_report.the_subnets()


def alone(subnets, top1, seeds=(0, 1)):
    return [
        {"kind": "alone", "name": digest, "seed": seed, "top1": {"search": 0.0, "test": value}, "seconds": 1.0}
        for seed in seeds
        for digest, value in zip(subnets.digests, top1, strict=True)
    ]


def supernet(subnets, name, seed, search, test=None):
    parts = zip(subnets.digests, search, search if test is None else test, strict=True)
    top1 = {digest: {"search": one, "test": other} for digest, one, other in parts}
    return {"kind": "supernet", "name": name, "seed": seed, "top1": top1, "seconds": 1.0}


def value(row, key):
    return row[key]["value"]


def test_same_order_and_reversed_order(subnets):
    truth = RNG.permutation(40) / 100 + 0.4
    rows = alone(subnets, truth.tolist())
    rows += [supernet(subnets, "ordinal", 0, (truth / 2).tolist()), supernet(subnets, "cyclic", 0, (-truth).tolist())]
    result = rank_report.analyse(rows, subnets)
    same, reverse = result["orders"]["ordinal"], result["orders"]["cyclic"]
    for key in ("tau", "tau_within_patch", "spearman"):
        assert (value(same, key), value(reverse, key)) == (1.0, -1.0)
        assert same[key]["interval_95"] == [1.0, 1.0]
        assert value(result["differences"]["cyclic - ordinal"], key) == -2.0
        assert value(result["orders"][rank_report.CEILING], key) == 1.0
    assert (value(same, "lost_top1"), value(reverse, "lost_top1")) == (0.0, 0.39)
    gap = result["orders"]["ordinal, on test"][rank_report.GAP]["mean"]
    assert gap == pytest.approx(-truth.mean() / 2, abs=1e-4)


def test_where_only_the_patch_size_orders(subnets):
    noise, other = RNG.permutation(40) * 1e-4, RNG.permutation(40) * 1e-4
    rows = alone(subnets, (subnets.patch_size / 100 + noise).tolist())
    rows += [supernet(subnets, "cyclic", 0, (subnets.patch_size / 100 + other).tolist())]
    result = rank_report.analyse(rows, subnets)
    found = result["orders"]["cyclic"]
    expected, pairs = [], []
    for patch in np.unique(subnets.patch_size):
        members = subnets.patch_size == patch
        expected.append(kendalltau(noise[members], other[members]).statistic)
        pairs.append(members.sum() * (members.sum() - 1) / 2)
    assert value(found, "tau_within_patch") == pytest.approx(np.average(expected, weights=pairs), abs=1e-4)
    assert value(found, "tau") > value(found, "tau_within_patch") + 0.3
    cheap = result["orders"]["patch size"]
    assert value(cheap, "tau_within_patch") is None  # it has no order there
    assert value(cheap, "tau") > 0.7


def test_seeds_are_averaged_and_parts_kept_apart(subnets):
    truth = RNG.permutation(40) / 100
    rows = alone(subnets, truth.tolist())
    rows += [
        supernet(subnets, "cyclic", seed, (sign * truth).tolist(), truth.tolist()) for seed, sign in ((0, 1), (2, -1))
    ]
    orders = rank_report.analyse(rows, subnets)["orders"]
    assert value(orders["cyclic"], "tau") == 0.0
    assert orders["cyclic"]["seeds"]["tau"] == [1.0, -1.0]
    assert value(orders["cyclic, on test"], "tau") == 1.0


def test_missing_rows_are_counted(subnets, tmp_path):
    truth = (RNG.permutation(40) / 100).tolist()
    rows = [*alone(subnets, truth, seeds=(0,))[:25], supernet(subnets, "bilateral", 1, truth)]
    result = rank_report.report(rows, tmp_path)
    assert result["there_of"]["alone, seed 0"] == [25, 40]
    assert result["there_of"]["alone, seed 1"] == [0, 40]
    assert result["there_of"]["bilateral"] == [1, len(rank_study.SUPERNET_SEEDS)]
    assert value(result["orders"]["bilateral"], "tau") == 1.0
    assert rank_report.CEILING not in result["orders"]
    assert json.loads((tmp_path / "rank_study.json").read_text())["orders"] == result["orders"]
    assert (tmp_path / "rank_study.png").stat().st_size > 10_000
    assert rank_report.report([], tmp_path)["orders"] == {}


def test_against_scipy_with_ties_and_resamples():
    a, b = RNG.integers(0, 6, 20).astype(float), RNG.integers(0, 6, 20).astype(float)
    times, rows = ranks.draws(20), ranks.resamples(20)
    taus, rhos = ranks.kendall(a, b, times), ranks.spearman(a, b)
    assert taus[0] == pytest.approx(kendalltau(a, b).statistic)
    assert rhos[0] == pytest.approx(spearmanr(a, b).statistic)
    for number in (0, 7, 1999):
        chosen = rows[number]
        assert taus[number + 1] == pytest.approx(kendalltau(a[chosen], b[chosen]).statistic)
        assert rhos[number + 1] == pytest.approx(spearmanr(a[chosen], b[chosen]).statistic)


def test_lost_and_leave_one_out():
    truth, score = np.array([0.5, 0.9, 0.7, 0.8]), np.array([1.0, 0.0, 2.0, 2.0])
    assert ranks.lost(truth, score, np.ones((1, 4)))[0] == pytest.approx(0.15)  # two favourites
    features = np.column_stack([np.ones(12), np.arange(12.0)])
    line = 3 + 2 * np.arange(12.0)
    assert ranks.leave_one_out(features, line) == pytest.approx(line)
    line[5] = 100.0
    assert ranks.leave_one_out(features, line)[5] == pytest.approx(13.0)
