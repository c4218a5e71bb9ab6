"""Where an ONNX graph first computes something else than the model it was written from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from vitas_hw.export.onnx_graph import INPUT
from vitas_hw.export.parity import TOLERANCES, Floats

_KINDS = {nn.Conv2d: "convolution", nn.LayerNorm: "layer norm", nn.Linear: "linear"}
_BEFORE = {"attn.proj": ("attn", "attention product"), "mlp.fc2": ("mlp.act", "activation")}


def where_it_differs(graph: onnx.ModelProto, model: nn.Module, images: Floats, precision: str) -> str:
    """A sentence on the first layer that differs by more than its precision explains."""
    tolerance = TOLERANCES[precision].logits if precision in TOLERANCES else 0.1
    layer = first_difference(graph, model, images, tolerance)
    if layer is None:
        return "No single layer of the ONNX graph is off by more than the tolerance."
    return f"The first layer that differs is {layer}."


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
    tensors = dict.fromkeys(tensor for _, _, tensor in watched if tensor not in already)
    shown.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
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
    biases = ((node, read) for node in graph.graph.node for read in node.input if read.endswith(".bias"))
    for node, bias in biases:
        name = bias.removesuffix(".bias")
        if name not in kinds:
            continue
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
        yield name, kinds[name], node.output[0]


@torch.inference_mode()
def _outputs(model: nn.Module, images: Floats) -> dict[str, Floats]:
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, Floats] = {}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = names[module]
        if isinstance(module, tuple(_KINDS)) or name.endswith("mlp.act"):
            found[name] = output.numpy()
        if name.endswith(".attn.proj"):
            found[name.removesuffix(".proj")] = inputs[0].numpy()

    with register_module_forward_hook(keep):
        model(torch.from_numpy(images))
    return found
