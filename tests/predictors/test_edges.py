"""Few, constant, repeated, failed and impossible measurements: a result, or one sentence. For every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, fit
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.profiling.profile import Measurement, Profile

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
pytestmark = pytest.mark.parametrize("kind", KINDS)


def sample(space: SearchSpace, count: int, seed: int = 0) -> list[Subnet]:
    rng = np.random.default_rng(seed)
    found: dict[Subnet, None] = {}
    while len(found) < count:
        found[space.sample(rng)] = None
    return list(found)


def latency(subnets: list[Subnet]) -> np.ndarray:
    noise = np.random.default_rng(1).normal(1, 0.02, len(subnets))
    return (0.02 * np.array([subnet.depth for subnet in subnets]) + operators(subnets).macs * 2e-8) * noise


def fitted(kind: str, space: SearchSpace, subnets: list[Subnet], values: Any) -> Predictor:
    return fit(Measured(subnets, list(values), TARGET, space), kind)


def test_eight_subnets_are_too_few(kind: str, digits: SearchSpace) -> None:
    subnets = sample(digits, 8)
    with pytest.raises(VitasError, match="at least 20 measured subnets; this profile has 8"):
        fitted(kind, digits, subnets, latency(subnets))


@pytest.mark.parametrize("count", [20, 100])
def test_few_subnets_give_an_order(kind: str, count: int, digits: SearchSpace) -> None:
    subnets, fresh = sample(digits, count), sample(digits, 100, seed=7)
    predictor = fitted(kind, digits, subnets, latency(subnets))
    assert predictor.samples == count
    found = predictor.predict(fresh)
    assert (found.lower_ms <= found.latency_ms).all()
    assert (found.latency_ms <= found.upper_ms).all()
    assert scores(found.latency_ms, latency(fresh))["spearman"] > 0.85


def test_constant_latencies_are_predicted(kind: str, digits: SearchSpace) -> None:
    subnets = sample(digits, 40)
    predictor = fitted(kind, digits, subnets, [2.5] * 40)
    assert predictor.predict(sample(digits, 50, seed=3)).latency_ms == pytest.approx(2.5, rel=1e-3)
    assert predictor.metrics["kendall"] == 0


def test_the_same_measurements_give_the_same_bytes(kind: str, digits: SearchSpace) -> None:
    """Failed rows are left out; of several measurements of a subnet, the median counts, once."""
    subnets = sample(digits, 22)
    values = latency(subnets)
    rows = [Measurement(subnet, ((float(ms),),)) for subnet, ms in zip(subnets, values, strict=True)]
    failed = [Measurement(subnet, failed="out of memory") for subnet in sample(digits, 3, seed=5)]
    found = vh.fit_predictor(Profile(TARGET, digits, {}, None, None, (failed[0], *rows, *failed[1:])), kind)
    again = fitted(kind, digits, subnets * 3, [*values, *(values * 0.9), *(values * 7)])
    assert seal(found.to_dict()) == seal(again.to_dict())
    with pytest.raises(VitasError, match="this profile has 0"):
        vh.fit_predictor(Profile(TARGET, digits, {}, None, None, tuple(failed)), kind)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 0.0, -1.0])
def test_impossible_latencies_are_one_sentence(kind: str, wrong: float, digits: SearchSpace) -> None:
    subnets = sample(digits, 30)
    with pytest.raises(InputError, match="positive and finite"):
        fitted(kind, digits, subnets, [*latency(subnets)[:-1], wrong])
