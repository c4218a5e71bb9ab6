"""ONNX files, the parity gate, and the layer that it names."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.first_difference import first_difference
from vitas_hw.export.onnx_export import OPSETS, activation_scales, model_graph, onnx_program
from vitas_hw.export.onnx_graph import onnx_graph
from vitas_hw.export.parity import Agreement, measure_parity, torch_program, with_fixed_batch
from vitas_hw.supernet.plain import build_model


def images_for(subnet: Subnet, count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 1, *subnet.image_size), np.float32)


@pytest.fixture
def model(small: SearchSpace, randomise: Callable[[object, int], None]) -> VisionTransformer:
    model = build_model(small.largest).eval()
    randomise(model, 0)
    return model


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_graph_agrees_with_torch_and_says_what_it_is(
    small: SearchSpace, model: VisionTransformer, precision: str
) -> None:
    images = images_for(small.largest)
    scales = activation_scales(model, [torch.from_numpy(images)]) if precision == "int8" else None
    graph = model_graph(model, small.largest, precision=precision, scales=scales, metadata={"class_names": ["a", "b"]})
    parity = measure_parity(
        ("torch", torch_program(model)), {"onnx": onnx_program(graph.SerializeToString())}, [(images, None)]
    )
    found = parity.others["onnx"]
    limit = {"fp32": 1e-5, "fp16": 2e-3, "int8": 0.1}[precision] * max(1.0, parity.largest_logit)
    assert 0 < found.largest_difference < limit
    assert (found.top1, parity.images) == (None, 8)
    metadata = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
    assert metadata["class_names"] == ["a", "b"]
    assert Subnet.from_dict(metadata["subnet"]) == small.largest


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_runs_and_says_its_number(small: SearchSpace, model: VisionTransformer, opset: int) -> None:
    graph = model_graph(model, small.largest, opset=opset, metadata={"a": 1})
    assert graph.opset_import[0].version == opset
    assert {prop.key for prop in graph.metadata_props} == {"a", "subnet"}
    images = images_for(small.largest)
    difference = onnx_program(graph.SerializeToString())(images) - torch_program(model)(images)
    assert np.abs(difference).max() < 1e-5


def test_an_old_opset_is_refused(small: SearchSpace, model: VisionTransformer) -> None:
    with pytest.raises(InputError, match="opset must be 18 to 23, not 3"):
        model_graph(model, small.largest, opset=3)


@pytest.mark.parametrize(
    ("weight", "layer"),
    [
        ("patch_embed.proj.bias", "patch_embed.proj (convolution)"),
        ("blocks.1.norm2.weight", "blocks.1.norm2 (layer norm)"),
        ("blocks.2.attn.proj.weight", "blocks.2.attn.proj (linear)"),
        ("norm.bias", "norm (layer norm)"),
        ("head.bias", "head (linear)"),
    ],
)
def test_the_first_layer_that_differs_is_named(
    small: SearchSpace, model: VisionTransformer, weight: str, layer: str
) -> None:
    weights = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    images = images_for(small.largest)
    assert first_difference(onnx_graph(small.largest, weights), model, images, 1e-4) is None
    weights[weight] += 0.01
    assert first_difference(onnx_graph(small.largest, weights), model, images, 1e-4) == layer


def test_the_activation_and_the_attention_product_are_told_from_the_linears_behind_them(
    small: SearchSpace, model: VisionTransformer
) -> None:
    images = images_for(small.largest)
    for kind, layer in (("Erf", "blocks.0.mlp.act (activation)"), ("Softmax", "blocks.0.attn (attention product)")):
        graph = model_graph(model, small.largest)
        next(node for node in graph.graph.node if node.op_type == kind).op_type = "Sigmoid"
        for node in graph.graph.node:
            if node.op_type == "Sigmoid":
                node.ClearField("attribute")
        assert first_difference(graph, model, images, 1e-4) == layer


def test_parity_counts_over_batches_and_refuses_what_is_too_far() -> None:
    batches = [
        (np.full((2, 1, 1, 1), 3.0, np.float32), np.array([0, 1])),
        (np.ones((1, 1, 1, 1), np.float32), np.array([0])),
    ]

    def ours(images: np.ndarray) -> np.ndarray:
        return np.array([[1.0, 0.0]] * len(images), np.float32) * images[:, 0, 0]

    def other(images: np.ndarray) -> np.ndarray:
        return ours(images) + np.array([0.0, 2.0 if len(images) == 1 else 0.0], np.float32)

    parity = measure_parity(("ours", ours), {"other": other, "same": ours}, batches)
    assert (parity.images, parity.largest_logit, parity.top1) == (3, 3.0, 2 / 3)
    assert parity.others["other"] == Agreement(2.0, 2 / 3, 1 / 3)
    parity.check("same", "fp32")
    parity.check("other", "int8")  # by its top-1, elsewhere
    with pytest.raises(VitasError, match=r"not kept: its logits differ from ours's by up to 2 \(0.0003 is allowed"):
        parity.check("other", "fp32")


def test_a_logit_that_is_no_number_never_passes() -> None:
    images = np.ones((1, 1, 1, 1), np.float32)
    ones, nans = (lambda _, value=value: np.full((1, 2), value, np.float32) for value in (1.0, np.nan))
    parity = measure_parity(("ours", ones), {"other": nans}, [(images, None)])
    with pytest.raises(VitasError, match="not kept"):
        parity.check("other", "fp32")


def test_a_fixed_batch_takes_any_number_of_images() -> None:
    seen = []

    def program(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return images[:, 0, 0]

    images = np.arange(7, dtype=np.float32).reshape(7, 1, 1, 1)
    assert np.array_equal(with_fixed_batch(program, 3)(images).ravel(), np.arange(7))
    assert seen == [3, 3, 3]
