from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.active_learning import choose_next, doubt, keep_going
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.features import Scale, features
from vitas_hw.predictors.line import fit_flops
from vitas_hw.predictors.predictor import Predictor, fit, read_predictor, save_predictor
from vitas_hw.predictors.transfer import choose_to_measure, transfer

OLD = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
NEW = Target("test-cpu", "openvino", "fp32", 1, 1, (32, 32))


def machine(subnets: list[Subnet], mac: float, call: float, byte: float, seed: int) -> np.ndarray:
    table = operators(subnets)
    calls = sum(row.present.sum(axis=1) for row in table.rows)
    moved = sum((row.weights + row.inputs + row.outputs).sum(axis=1) for row in table.rows)
    clean = table.macs * mac + calls * call + moved * byte
    return clean * np.random.default_rng(seed).normal(1, 0.02, len(subnets))


def old_ms(subnets: list[Subnet]) -> np.ndarray:
    return machine(subnets, 2e-8, 2e-3, 4e-8, 1)


def new_ms(subnets: list[Subnet], seed: int = 2) -> np.ndarray:
    return machine(subnets, 1.1e-8, 5e-3, 6e-8, seed)


def sample(space: SearchSpace, count: int, seed: int) -> list[Subnet]:
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(space.sample(rng) for _ in range(count)))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return vh.load_space("vitas-digits")


@pytest.fixture(scope="module")
def candidates(space: SearchSpace) -> list[Subnet]:
    return sample(space, 150, 0)


@pytest.fixture(scope="module")
def old(space: SearchSpace, candidates: list[Subnet]) -> Predictor:
    return fit(Measured(candidates, old_ms(candidates), OLD, space, 0.02), "linear")


def test_twenty_measurements_make_a_predictor(
    old: Predictor, space: SearchSpace, candidates: list[Subnet], tmp_path: Path
) -> None:
    chosen = choose_to_measure(old, candidates, 20)
    known = Measured(chosen, new_ms(chosen), NEW, space)
    found = transfer(old, known)
    fresh = sample(space, 200, 7)
    good = scores(found.predict(fresh).latency_ms, new_ms(fresh))
    line = fit_flops(known.examples(), 0)
    plain = scores(line.predict(features(SubnetColumns.of(fresh), Scale())), new_ms(fresh))
    assert good["spearman"] > 0.98
    assert good["mape"] < min(0.06, plain["mape"])
    assert (found.kind, found.target, found.samples) == ("transfer", NEW, 20)
    found.check_target(NEW)
    with pytest.raises(InputError, match="was fitted for"):
        found.check_target(OLD)
    path = tmp_path / "p.json"
    save_predictor(found, path)
    again = read_predictor(path)
    assert again.predict(fresh).latency_ms == pytest.approx(found.predict(fresh).latency_ms, rel=1e-9)


def test_a_transferred_predictor_can_be_transferred(old: Predictor, candidates: list[Subnet], tmp_path: Path) -> None:
    chosen = candidates[:12]
    first = transfer(old, Measured(chosen, new_ms(chosen), NEW, old.space))
    second = transfer(first, Measured(chosen, old_ms(chosen), OLD, old.space))
    path = tmp_path / "p.json"
    save_predictor(second, path)
    assert read_predictor(path).predict(chosen).latency_ms == pytest.approx(old_ms(chosen), rel=0.2)


def test_the_measurements_to_make_are_the_extremes_and_a_spread(old: Predictor, candidates: list[Subnet]) -> None:
    chosen = choose_to_measure(old, candidates, 20, seed=3)
    assert len(set(chosen)) == 20
    assert chosen == choose_to_measure(old, candidates, 20, seed=3)
    latency = old.predict(candidates).latency_ms
    assert {candidates[np.argmin(latency)], candidates[np.argmax(latency)]} <= set(chosen)
    assert {subnet.patch_size for subnet in chosen} == {8, 16}
    assert len(choose_to_measure(old, candidates[:5] * 3, 5)) == 5


def test_impossible_requests_are_one_sentence(old: Predictor, candidates: list[Subnet]) -> None:
    with pytest.raises(InputError, match="From 3 different candidates"):
        choose_to_measure(old, candidates[:3], 4)
    with pytest.raises(VitasError, match="at least 8"):
        transfer(old, Measured(candidates[:4], [1.0] * 4, NEW, old.space))
    with pytest.raises(InputError, match="positive and finite"):
        transfer(old, Measured(candidates[:10], [float("nan")] * 10, NEW, old.space))
    with pytest.raises(InputError, match="is for images 32x32"):
        transfer(old, Measured([vh.published_subnet("deit-ti")] * 10, [1.0] * 10, NEW, old.space))


def test_the_next_subnets_are_new_and_where_members_disagree(space: SearchSpace, candidates: list[Subnet]) -> None:
    measured = [subnet for subnet in candidates if subnet.patch_size == 16]
    known = Measured(measured, old_ms(measured), OLD, space)
    fresh = sample(space, 200, 9)
    chosen = choose_next(known, [*measured, *fresh], measured, 10, "linear")
    assert len(set(chosen)) == 10
    assert not set(chosen) & set(measured)
    of_fresh, of_chosen = (
        doubt(known, features(SubnetColumns.of(some), Scale.of(OLD)), "linear") for some in (fresh, chosen)
    )
    assert of_chosen.mean() > of_fresh.mean()
    with pytest.raises(InputError, match="0 candidates are not measured"):
        choose_next(known, measured, measured, 1)


@pytest.mark.parametrize(
    ("history", "goes_on", "says"),
    [
        ([], True, "nothing"),
        ([(20, 0.10)], True, "10.0% with 20"),
        ([(20, 0.10), (40, 0.029)], False, "reached"),
        ([(20, 0.10), (40, 0.08), (60, 0.06), (80, 0.05)], True, "3.0% is asked"),
        ([(20, 0.10), (40, 0.05), (60, 0.052), (80, 0.05), (100, 0.049)], False, "stopped helping"),
    ],
)
def test_profiling_goes_on_while_it_helps(history: list[tuple[int, float]], goes_on: bool, says: str) -> None:
    more, reason = keep_going(history, 0.03)
    assert more is goes_on
    assert says in reason
