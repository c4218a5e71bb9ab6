"""A plain model as an ONNX file, and what its int8 activations need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import onnx
import onnx.version_converter
import onnxruntime as ort
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from vitas_hw.core.errors import invalid
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.onnx_graph import INPUT, onnx_graph
from vitas_hw.export.parity import Floats, Program

OPSETS = range(18, 24)
_LARGEST_INT8 = 127
_SMALLEST = 1e-12  # an input that is always zero has a step nevertheless


def model_graph(
    model: VisionTransformer,
    subnet: Subnet,
    *,
    batch_size: int | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    scales: Mapping[str, float] | None = None,
    weight_limit: int = 127,
    metadata: Mapping[str, object] | None = None,
) -> onnx.ModelProto:
    """The checked ONNX graph of a model.

    Args:
        model: plain model of ``subnet``.
        subnet: its architecture.
        batch_size: fixed; None leaves it open.
        precision: ``fp32``, ``fp16`` (norms and softmax stay float32) or ``int8``.
        opset: one of ``OPSETS``; None takes the lowest that the graph needs.
        scales: with int8, see ``activation_scales``.
        weight_limit: with int8, see ``onnx_graph``.
        metadata: stored in the file, each value as JSON.

    Raises:
        InputError: an opset that cannot be had.
    """
    if opset is not None and opset not in OPSETS:
        raise invalid("opset", opset, f"{OPSETS[0]} to {OPSETS[-1]}")
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    texts = {key: json.dumps(value) for key, value in {**(metadata or {}), "subnet": subnet.to_dict()}.items()}
    graph = onnx_graph(
        subnet,
        weights,
        batch_size=batch_size,
        metadata=texts,
        precision=precision,
        scales=scales,
        weight_limit=weight_limit,
    )
    if opset is not None and opset != graph.opset_import[0].version:
        graph = onnx.version_converter.convert_version(graph, opset)
        onnx.helper.set_model_props(graph, texts)
    onnx.checker.check_model(graph, full_check=True)
    return graph


@torch.inference_mode()
def activation_scales(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, float]:
    """The ``scales`` of ``onnx_graph``: a step for the input of each linear and convolution, by the module's name.

    Args:
        model: plain timm model, in evaluation mode.
        batches: (N, C, H, W) preprocessed as for the model, a few hundred images of the kind it will see.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    largest = dict.fromkeys(names.values(), 0.0)

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module in names:
            largest[names[module]] = max(largest[names[module]], inputs[0].abs().max().item())

    with register_module_forward_pre_hook(look):
        for images in batches:
            model(images)
    return {name: max(value / _LARGEST_INT8, _SMALLEST) for name, value in largest.items()}


def onnx_program(model: bytes, *, as_written: bool = False) -> Program:
    """An ONNX file as ONNX Runtime computes it on the CPU.

    Args:
        model: the file.
        as_written: node by node without any fusion: quantised products are then computed in float32, exactly.
    """
    options = ort.SessionOptions()
    if as_written:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(images: Floats) -> Floats:
        logits: Floats = session.run(None, {INPUT: images})[0]
        return logits

    return run
