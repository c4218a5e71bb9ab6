from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vitas_hw as vh
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors import line
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.features import Scale, additive, features
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, fit, read_predictor, save_predictor
from vitas_hw.predictors.registry import fit_model
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.profiling.profile import Measurement, Profile

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))


def latency(subnets: list[Subnet], noise: float = 0.0) -> np.ndarray:
    """A made-up machine: a price for each operator, each MAC and each weight, and a step it takes for narrow heads."""
    table = operators(subnets)
    blocks = np.array([subnet.depth for subnet in subnets])
    narrow = np.array([any(block.head_dim < 40 for block in subnet.blocks) for subnet in subnets])
    clean = 0.02 * blocks + table.macs * 2e-8 + table.params * 5e-8 + 0.05 * blocks * narrow
    return clean * np.random.default_rng(1).normal(1.0, noise, len(subnets)) if noise else clean


def sample(space: SearchSpace, count: int, seed: int = 0) -> list[Subnet]:
    rng = np.random.default_rng(seed)
    return list(dict.fromkeys(space.sample(rng) for _ in range(count)))


def fitted(space: SearchSpace, count: int = 150, noise: float = 0.0, kind: str = "xgboost") -> Predictor:
    subnets = sample(space, count)
    return fit(Measured(subnets, latency(subnets, noise), TARGET, space, noise, "p", "f"), kind)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return fitted(vh.load_space("vitas-digits"), noise=0.03)


def test_it_predicts_subnets_it_has_not_seen(predictor: Predictor, digits: SearchSpace) -> None:
    fresh = sample(digits, 200, seed=9)
    found = scores(predictor.predict(fresh).latency_ms, latency(fresh))
    assert found["mape"] < 0.05
    assert found["spearman"] > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_comes_back_from_its_file(kind: str, digits: SearchSpace, tmp_path: Path) -> None:
    predictor, fresh = fitted(digits, noise=0.02, kind=kind), sample(digits, 100, seed=9)
    found = scores(predictor.predict(fresh).latency_ms, latency(fresh))
    assert found["spearman"] > (0.9 if kind == "flops" else 0.99)
    assert found["mape"] < (0.3 if kind == "flops" else 0.05)
    path = tmp_path / "p.json"
    save_predictor(predictor, path)
    assert read_predictor(path).predict(fresh).latency_ms == pytest.approx(
        predictor.predict(fresh).latency_ms, rel=1e-9
    )
    assert path.read_text() == seal(read_predictor(path).to_dict())


def test_parts_beyond_the_line_are_taken_only_where_they_help(digits: SearchSpace) -> None:
    subnets = sample(digits, 150)
    table = features(SubnetColumns.of(subnets), Scale())
    straight = table.columns(("macs", "operators")) @ np.array([2e-8, 0.01])
    noisy = straight * np.random.default_rng(0).normal(1, 0.03, len(subnets))
    plain = fit_model("xgboost", Examples(table, noisy), 0)
    assert (plain.smooth, plain.booster) == (None, None)
    macs = table.columns(("macs",))[:, 0]
    jagged = straight * np.where(np.sin(macs / 4e6) > 0, 1.3, 1.0) * np.where(macs > np.median(macs), 1.4, 1.0)
    assert fit_model("xgboost", Examples(table, jagged), 0).booster


def test_the_interval_covers_what_it_says(predictor: Predictor, digits: SearchSpace) -> None:
    fresh = sample(digits, 400, seed=11)
    found, measured = predictor.predict(fresh), latency(fresh, noise=0.03)
    inside = (found.lower_ms <= measured) & (measured <= found.upper_ms)
    assert 0.83 <= inside.mean() <= 0.99
    assert (found.lower_ms < found.latency_ms).all()


def test_metrics_are_those_of_held_out_subnets_beside_the_noise_floor(predictor: Predictor) -> None:
    metrics = predictor.metrics
    assert metrics["noise_floor"] == 0.03
    assert metrics["mape"] is not None
    assert 0.015 < metrics["mape"] < 0.08  # cannot be below the noise put in, as it would be on seen subnets


def test_columns_and_subnets_give_the_same(predictor: Predictor, digits: SearchSpace, rng: np.random.Generator) -> None:
    codes = digits.sample_codes(50, rng)
    from_codes = predictor.predict_columns(digits.columns(codes)).latency_ms
    from_subnets = predictor.predict([digits.decode(code) for code in codes]).latency_ms
    assert np.array_equal(from_codes, from_subnets)


def test_it_says_when_a_subnet_lies_outside_what_it_has_seen(predictor: Predictor, digits: SearchSpace) -> None:
    from dataclasses import replace

    assert predictor.predict(sample(digits, 150)).inside.all()
    wide = replace(digits.largest, embed_dim=4096)
    assert not predictor.predict([wide]).inside[0]


def test_no_subnets_give_no_latencies(predictor: Predictor) -> None:
    assert predictor.predict([]).latency_ms.shape == (0,)


def test_it_refuses_another_image_size(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="is for images 32x32"):
        predictor.predict([vh.published_subnet("deit-ti")])


def test_the_file_comes_back_and_repeats_byte_for_byte(digits: SearchSpace, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    save_predictor(fitted(digits), first)
    save_predictor(fitted(digits), second)
    assert first.read_bytes() == second.read_bytes()
    again = vh.load_predictor(first)
    assert (again.target, again.space, again.fingerprint) == (TARGET, digits, "f")
    fresh = sample(digits, 20, seed=5)
    assert np.array_equal(again.predict(fresh).latency_ms, fitted(digits).predict(fresh).latency_ms)


def test_fit_predictor_takes_the_rows_that_ran(digits: SearchSpace) -> None:
    subnets = sample(digits, 30)
    rows = [Measurement(subnet, ((float(ms),),)) for subnet, ms in zip(subnets, latency(subnets), strict=True)]
    rows[4] = Measurement(subnets[4], failed="no")
    profile = Profile(TARGET, digits, {"fingerprint": "f"}, None, None, tuple(rows))
    found = vh.fit_predictor(profile)
    assert found.metrics["noise_floor"] is None
    assert found.metrics["model_error"] is None  # each was visited once
    with pytest.raises(InputError, match="Unknown statistic 'mode'"):
        vh.fit_predictor(profile, statistic="mode")
    with pytest.raises(InputError, match="Known: xgboost, linear"):
        vh.fit_predictor(profile, kind="magic")
    with pytest.raises(InputError, match="of the kind 'mlp' can still be read but no longer fitted") as caught:
        vh.fit_predictor(profile, kind="mlp")
    assert (caught.value.field, caught.value.allowed) == ("kind", "xgboost, linear, flops")


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="Unknown predictor"):
        vh.load_predictor("nonsense")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 1},
        {"schema": True},
        {"features": 99},
        {"statistic": "mode"},
        {"schema": 2},  # which had no statistic
        {"target": {}},
        {"space": 3},
        {"seen": 1},
        {"calibration": {"coverage": 0.9, "edges_ms": [], "half_widths": [-1.0]}},
        {"metrics": {"mape": "small"}},
        {"samples": 0},
        {"kind": "magic"},
        {"kind": "mlp"},
        {"model": {"intercept": 0, "coefficients": {}, "least": 1}},
        {"unknown": 1},
    ],
)
def test_a_changed_file_is_refused(predictor: Predictor, tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(json.loads(seal(predictor.to_dict())) | change))
    with pytest.raises(FileError, match=r"p\.json"):
        read_predictor(path)
    path.write_text(seal(predictor.to_dict() | change))  # with a hash that fits, too
    with pytest.raises(FileError, match=r"p\.json"):
        read_predictor(path)


def test_a_changed_number_is_refused_with_the_reason(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    data = json.loads(seal(predictor.to_dict()))
    data["model"]["line"]["intercept"] += 1
    path.write_text(json.dumps(data))
    with pytest.raises(FileError, match="was changed after it was written"):
        read_predictor(path)


@pytest.mark.parametrize("bound", [1e-30, 1e12])
def test_latencies_that_nothing_has_are_refused(bound: float, digits: SearchSpace, tmp_path: Path) -> None:
    """A file whose hash was made to fit may give numbers, but no absurd ones."""
    path = tmp_path / "p.json"
    data = fitted(digits, kind="linear").to_dict()
    data["model"] = {"intercept": bound, "coefficients": {}, "least": bound}
    path.write_text(seal(data))
    predictor = read_predictor(path)
    if bound < 1:
        assert (predictor.predict([digits.largest]).latency_ms == bound).all()
        return
    with pytest.raises(InputError, match="no positive, finite number"):
        predictor.predict([digits.largest])


def chain(nodes: int, columns: int) -> dict[str, object]:
    """A tree whose left children follow each other, two nodes a level."""
    inner = list(range(0, nodes - 1, 2))
    left, right, parents = [-1] * nodes, [-1] * nodes, [2**31 - 1] + [-1] * (nodes - 1)
    for node in inner:
        left[node], right[node] = node + 2, node + 1
        parents[node + 1] = parents[node + 2] = node
    zeros = [0.0] * nodes
    numbers = dict.fromkeys(("base_weights", "loss_changes", "split_conditions", "sum_hessian"), zeros)
    integers = dict.fromkeys(("split_indices", "split_type", "default_left"), [0] * nodes)
    empty: dict[str, list[int]] = {f"categories{end}": [] for end in ("", "_nodes", "_segments", "_sizes")}
    parameters = {"num_nodes": str(nodes), "num_feature": str(columns), "num_deleted": "0", "size_leaf_vector": "1"}
    links = {"left_children": left, "right_children": right, "parents": parents, "id": 0, "tree_param": parameters}
    return {**numbers, **integers, **empty, **links}


@pytest.mark.parametrize(("levels", "taken"), [(4, True), (40, False), (450_000, False)])
def test_a_tree_too_deep_for_xgboost_is_refused(
    levels: int, taken: bool, predictor: Predictor, digits: SearchSpace
) -> None:
    data = predictor.to_dict()
    booster = data["model"]["booster"]
    assert booster is not None
    columns = int(booster["learner"]["learner_model_param"]["num_feature"])
    model = booster["learner"]["gradient_booster"]["model"]
    model |= {"trees": [chain(2 * levels + 1, columns)], "tree_info": [0], "iteration_indptr": [0, 1]}
    model["gbtree_model_param"] |= {"num_trees": "1"}
    if taken:
        assert Predictor.from_dict(data).predict([digits.largest]).latency_ms > 0
        return
    with pytest.raises(ValueError, match=f"a tree is {levels} levels deep"):
        Predictor.from_dict(data)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ((), {"cats": 1}),
        (("learner", "objective"), {"quantile_alpha": "[0.5]"}),
        (("learner", "learner_model_param"), {"more": "1"}),
        (("learner", "gradient_booster"), {"weight_drop": [1.0]}),
        (("learner", "gradient_booster", "model"), {"unknown": []}),
        (("learner", "gradient_booster", "model"), {"cats": {"enc": [1], "feature_segments": [], "sorted_idx": []}}),
    ],
)
def test_nothing_unknown_reaches_xgboosts_own_reader(
    place: tuple[str, ...], change: dict[str, object], predictor: Predictor
) -> None:
    data = json.loads(json.dumps(predictor.to_dict()))
    Predictor.from_dict(data)
    part = data["model"]["booster"]
    for name in place:
        part = part[name]
    part |= change
    with pytest.raises(ValueError, match=r"the booster (has|is of)"):
        Predictor.from_dict(data)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_text_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("p") / "p.json"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(FileError):
        read_predictor(path)


def test_features_have_names_and_are_finite(digits: SearchSpace) -> None:
    table = features(SubnetColumns.of(sample(digits, 30)), Scale())
    assert len(set(table.names)) == len(table.names) == table.values.shape[1]
    assert np.isfinite(table.values).all()
    assert (table.values >= 0).all()
    one = features(SubnetColumns.of([digits.largest]), Scale())
    assert one.columns(("linear.macs",))[0, 0] == sum(
        int(row.macs.sum()) for row in operators([digits.largest]).rows if row.kind == "linear"
    )
    assert one.columns(("tokens",))[0, 0] == digits.largest.num_patches + 1
    assert one.columns(("head_width",))[0, 0] == digits.largest.blocks[0].head_dim


@pytest.mark.parametrize("scale", [Scale(), Scale(8, 2)])
@pytest.mark.parametrize("name", ["vitas-digits", "vitas-deit-tiny", "autoformer-small"])
def test_counting_each_block_once_is_counting_all(name: str, scale: Scale, rng: np.random.Generator) -> None:
    space = vh.load_space(name)
    columns = space.columns(space.sample_codes(100, rng))
    table = features(columns, scale)
    for column, values in additive(operators(columns), scale).items():
        assert np.array_equal(table.columns((column,))[:, 0], values), column


def test_blocks_of_different_images_and_classes_are_told_apart(digits: SearchSpace) -> None:
    mixed = [digits.smallest, vh.published_subnet("deit-ti"), digits.largest, vh.published_subnet("vitas-c")]
    macs = features(SubnetColumns.of(mixed), Scale()).columns(("macs",))[:, 0]
    assert macs.tolist() == [subnet.macs for subnet in mixed]


def test_it_refuses_another_target(predictor: Predictor) -> None:
    predictor.check_target(TARGET)
    with pytest.raises(InputError, match="was fitted for test-cpu-onnxruntime"):
        predictor.check_target(Target("test-cpu", "openvino", "fp32", 1, 1, (32, 32)))


def test_a_line_is_the_same_by_either_solver(digits: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    subnets = sample(digits, 60)
    table, measured = features(SubnetColumns.of(subnets), Scale()), latency(subnets, noise=0.03)
    names = table.physical[2]
    usual = line.fit_line(Examples(table, measured), names).predict(table)

    def in_circles(*_: object) -> None:
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("scipy.optimize.nnls", in_circles)
    assert line.fit_line(Examples(table, measured), names).predict(table) == pytest.approx(usual, rel=1e-4)
