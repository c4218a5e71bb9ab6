"""Where an ONNX graph first computes something else than the model it was written from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from vitas_hw.export.onnx_graph import INPUT
from vitas_hw.export.parity import Floats

_KINDS = {nn.Conv2d: "convolution", nn.LayerNorm: "layer norm", nn.Linear: "linear"}
_BEFORE = {"attn.proj": ("attn", "attention product"), "mlp.fc2": ("mlp.act", "activation")}


def first_difference(graph: onnx.ModelProto, model: nn.Module, images: Floats, tolerance: float) -> str | None:
    """The first layer, with its type, whose output is off by more than ``tolerance`` of its largest value.

    Args:
        graph: as ``onnx_graph`` writes it, of an open batch or of ``len(images)``.
        model: timm's, in evaluation mode.
        images: (B, C, H, W)
        tolerance: relative.

    Returns:
        For example ``blocks.0.mlp.act (activation)``; None if every layer agrees.
    """
    expected = _outputs(model, images)
    watched = [(name, kind, tensor) for name, kind, tensor in _tensors(graph, model) if name in expected]
    shown = onnx.ModelProto()
    shown.CopyFrom(graph)
    already = {value.name for value in shown.graph.output}
    for tensor in dict.fromkeys(tensor for _, _, tensor in watched):
        if tensor not in already:
            shown.graph.output.append(onnx.ValueInfoProto(name=tensor))
    session = ort.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    found = dict(zip((o.name for o in session.get_outputs()), session.run(None, {INPUT: images}), strict=True))
    for name, kind, tensor in watched:
        ours, theirs = np.asarray(found[tensor], np.float32), expected[name]
        if ours.size != theirs.size:  # the last norm runs on the class token alone, and the head in three dimensions
            theirs = theirs[:, 0] if theirs.ndim > 2 else theirs
        difference = np.abs(ours.reshape(theirs.shape) - theirs).max()
        if not difference <= tolerance * max(1.0, float(np.abs(theirs).max())):
            return f"{name} ({kind})"
    return None


def _tensors(graph: onnx.ModelProto, model: nn.Module) -> Iterator[tuple[str, str, str]]:
    """(name, type, tensor of the graph) of the layers in the order of the graph; found by the weights they read."""
    kinds = {
        name: words
        for name, module in model.named_modules()
        for kind, words in _KINDS.items()
        if isinstance(module, kind)
    }
    read_by = {name: node for node in graph.graph.node for name in node.input}
    made_by = {name: node for node in graph.graph.node for name in node.output}
    for name, kind in _in_order(graph, kinds):
        before = _BEFORE.get(name.split(".", 2)[-1])
        product = read_by.get(f"{name}.weight")
        while product is not None and product.op_type == "DequantizeLinear":
            product = read_by.get(product.output[0])
        if before and product is not None:
            source = product.input[0]
            while made_by[source].op_type in ("DequantizeLinear", "QuantizeLinear"):
                source = made_by[source].input[0]
            block = ".".join(name.split(".")[:2])
            yield f"{block}.{before[0]}", before[1], source
        yield name, kind, read_by[f"{name}.bias"].output[0]


def _in_order(graph: onnx.ModelProto, kinds: dict[str, str]) -> Iterator[tuple[str, str]]:
    for node in graph.graph.node:
        for read in node.input:
            name = read.removesuffix(".bias")
            if name != read and name in kinds:
                yield name, kinds[name]


@torch.inference_mode()
def _outputs(model: nn.Module, images: Floats) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    hooks = []

    def keep(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found[name] = output.numpy()
        if name.endswith(".attn.proj"):
            found[name.removesuffix(".proj")] = inputs[0].numpy()

    for name, module in model.named_modules():
        if isinstance(module, tuple(_KINDS)) or name.endswith("mlp.act"):
            hooks.append(module.register_forward_hook(partial(keep, name)))
    try:
        model(torch.from_numpy(images))
    finally:
        for hook in hooks:
            hook.remove()
    return found
