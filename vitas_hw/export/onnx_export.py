"""A plain model as an ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping

import onnx
import onnx.version_converter
import onnxruntime as ort
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import invalid
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.onnx_graph import INPUT, onnx_graph
from vitas_hw.export.parity import Floats, Program

OPSETS = range(18, 24)


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


def torch_program(model: torch.nn.Module) -> Program:
    """A model of torch on the CPU."""
    model.eval()

    @torch.inference_mode()
    def run(images: Floats) -> Floats:
        logits: Floats = model(torch.from_numpy(images)).float().numpy()
        return logits

    return run
