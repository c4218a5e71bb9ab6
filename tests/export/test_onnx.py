from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from vitas_hw.core.errors import VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.export import onnx_export
from vitas_hw.export.onnx_export import export_onnx, onnx_logits
from vitas_hw.export.onnx_graph import onnx_graph, parameter_shapes, random_weights
from vitas_hw.supernet.plain import build_model


def test_parameter_shapes_are_timms(small: SearchSpace) -> None:
    for seed in range(5):
        subnet = small.sample(seed)
        state = build_model(subnet).state_dict()
        assert parameter_shapes(subnet) == {name: tuple(weight.shape) for name, weight in state.items()}
        assert list(parameter_shapes(subnet)) == list(state)


def test_random_weights_are_sound_and_repeat(small: SearchSpace) -> None:
    weights, again = random_weights(small.largest, 3), random_weights(small.largest, 3)
    for name, shape in parameter_shapes(small.largest).items():
        assert weights[name].shape == shape
        assert weights[name].dtype == np.float32
        assert np.array_equal(weights[name], again[name])
    assert abs(weights["norm.weight"].mean() - 1) < 0.02
    assert abs(weights["blocks.0.mlp.fc1.weight"].std() - 0.02) < 0.002


def test_the_graph_is_valid_and_takes_any_batch_or_the_fixed_one(small: SearchSpace) -> None:
    subnet = small.largest
    weights = random_weights(subnet, 0)
    for batch_size, expected in ((None, "batch"), (3, 3)):
        graph = onnx_graph(subnet, weights, batch_size=batch_size)
        onnx.checker.check_model(graph, full_check=True)
        dimension = graph.graph.input[0].type.tensor_type.shape.dim[0]
        assert (dimension.dim_param or dimension.dim_value) == expected


def images_for(subnet: Subnet, count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 1, *subnet.image_size), np.float32)


def test_an_export_agrees_with_torch_and_says_what_it_is(
    small: SearchSpace, tmp_path: Path, randomise: Callable[[object, int], None]
) -> None:
    model = build_model(small.largest).eval()
    randomise(model, 0)
    images = images_for(small.largest)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    path = tmp_path / "model.onnx"
    parity = export_onnx(
        model, small.largest, path, images=images, labels=expected.argmax(1), metadata={"class_names": ["a", "b"]}
    )
    assert np.abs(onnx_logits(path, images) - expected).max() == pytest.approx(parity.largest_difference)
    assert parity.largest_difference <= 1e-4
    assert (parity.agreement, parity.top1_onnx, parity.top1_torch, parity.images) == (1.0, 1.0, 1.0, 8)
    metadata = {prop.key: json.loads(prop.value) for prop in onnx.load(path).metadata_props}
    assert metadata["class_names"] == ["a", "b"]
    assert Subnet.from_dict(metadata["subnet"]) == small.largest


def test_an_export_that_computes_something_else_is_not_kept(
    small: SearchSpace,
    tmp_path: Path,
    randomise: Callable[[object, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = build_model(small.largest).eval()
    randomise(model, 0)

    def wrong(subnet: Subnet, weights: dict[str, np.ndarray], **rest: object) -> onnx.ModelProto:
        changed = {name: value + 0.01 if name == "head.bias" else value for name, value in weights.items()}
        return onnx_graph(subnet, changed, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_export, "onnx_graph", wrong)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the last good one")
    images = images_for(small.largest)
    with pytest.raises(VitasError, match="not kept"):
        export_onnx(model, small.largest, path, images=images, labels=np.zeros(8, np.int64), metadata={})
    assert path.read_bytes() == b"the last good one"
    assert list(tmp_path.iterdir()) == [path]
