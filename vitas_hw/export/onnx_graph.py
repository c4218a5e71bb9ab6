"""The ONNX graph of a plain vision transformer, written directly from the subnet.

Going through ``torch.onnx.export`` costs seconds a subnet; profiling needs hundreds of them. The weights are named and
laid out as in timm's state dict (linears transposed, as MatMul wants them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from vitas_hw.core.subnet import Block, Subnet

Floats = npt.NDArray[np.float32]
OPSET = 18
IR_VERSION = 10
LAYER_NORM_EPSILON = 1e-6  # timm's ViT; torch's own default is 1e-5
INPUT, OUTPUT = "images", "logits"


def parameter_shapes(subnet: Subnet) -> dict[str, tuple[int, ...]]:
    """Names and shapes of timm's state dict for this subnet, in its order."""
    e, p = subnet.embed_dim, subnet.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, e),
        "pos_embed": (1, subnet.num_patches + 1, e),
        "patch_embed.proj.weight": (e, subnet.in_chans, p, p),
        "patch_embed.proj.bias": (e,),
    }
    for index, block in enumerate(subnet.blocks):
        for name, (rows, columns) in {
            "attn.qkv": (3 * block.attn_dim, e),
            "attn.proj": (e, block.attn_dim),
            "mlp.fc1": (block.mlp_dim, e),
            "mlp.fc2": (e, block.mlp_dim),
        }.items():
            norm = {"attn.qkv": "norm1", "mlp.fc1": "norm2"}.get(name)
            if norm:
                shapes |= {f"blocks.{index}.{norm}.{part}": (e,) for part in ("weight", "bias")}
            shapes[f"blocks.{index}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{index}.{name}.bias"] = (rows,)
    shapes |= {"norm.weight": (e,), "norm.bias": (e,)}
    shapes |= {"head.weight": (subnet.num_classes, e), "head.bias": (subnet.num_classes,)}
    return shapes


def random_weights(subnet: Subnet, seed: int) -> dict[str, Floats]:
    """Weights for timing, uniform in +-0.035 (timm's initial standard deviation, 0.02), norms scaling by about 1. The
    values do not matter to a dense model's latency as long as none is denormal; uniform ones are quick to draw.
    """
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(subnet)
    draws = rng.random(sum(int(np.prod(shape)) for shape in shapes.values()), np.float32)
    draws -= np.float32(0.5)
    draws *= np.float32(0.07)
    weights, start = {}, 0
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        weights[name] = draws[start:stop].reshape(shape)
        if "norm" in name and name.endswith("weight"):
            weights[name] += np.float32(1)
        start = stop
    return weights


def onnx_graph(
    subnet: Subnet,
    weights: Mapping[str, Floats],
    *,
    batch_size: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model ``images (B, in_chans, height, width) -> logits (B, num_classes)``, float32.

    Args:
        subnet: the architecture.
        weights: timm's state dict as numpy arrays, shapes as in ``parameter_shapes``.
        batch_size: fixed batch; None leaves it open.
        metadata: text stored under ``metadata_props``.
    """
    graph = _Graph()
    tokens, e = subnet.num_patches + 1, subnet.embed_dim

    patches = graph.add(
        "Conv",
        [INPUT, graph.weight("patch_embed.proj.weight", weights), graph.weight("patch_embed.proj.bias", weights)],
        kernel_shape=[subnet.patch_size] * 2,
        strides=[subnet.patch_size] * 2,
    )
    flat = graph.add("Reshape", [patches, graph.ints("patch_shape", [0, e, subnet.num_patches])])
    x = graph.add("Transpose", [flat], perm=[0, 2, 1])
    # A row of zeros in front, then one sum with the positions, whose first row holds the class token too: works for
    # any batch size without a Shape operator, and is exact.
    x = graph.add("Pad", [x, graph.ints("class_row", [0, 1, 0, 0, 0, 0])])
    positions = weights["pos_embed"].copy()
    positions[:, :1] += weights["cls_token"]
    x = graph.add("Add", [x, graph.constant("positions", positions)])

    for index, block in enumerate(subnet.blocks):
        x = _block(graph, f"blocks.{index}", block, x, tokens, weights)

    x = graph.add("Gather", [x, graph.constant("class_index", np.array(0, np.int64))], axis=1)
    x = graph.norm("norm", x, weights)
    graph.add(
        "Gemm",
        [x, graph.weight("head.weight", weights), graph.weight("head.bias", weights)],
        transB=1,
        output=OUTPUT,
    )
    batch = batch_size or "batch"
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "vitas",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [batch, subnet.in_chans, *subnet.image_size])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, subnet.num_classes])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="vitas-hw",
    )
    if metadata:
        helper.set_model_props(model, dict(metadata))
    return model


def _block(graph: _Graph, name: str, block: Block, x: str, tokens: int, weights: Mapping[str, Floats]) -> str:
    width, heads, dim = block.attn_dim, block.num_heads, block.head_dim
    qkv = graph.linear(f"{name}.attn.qkv", graph.norm(f"{name}.norm1", x, weights), weights)
    names = [f"{name}.attn.{part}" for part in "qkv"]
    thirds = graph.add_many("Split", [qkv, graph.ints(f"thirds_{width}", [width] * 3)], names, axis=-1)
    shape = graph.ints(f"heads_{heads}_{dim}", [0, tokens, heads, dim])
    # k transposed for the product; scaling q touches dim values a token where scaling the scores touches `tokens`
    q, k, v = (
        graph.add("Transpose", [graph.add("Reshape", [third, shape])], perm=perm)
        for third, perm in zip(thirds, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    q = graph.add("Mul", [q, graph.constant(f"scale_{dim}", np.array(dim**-0.5, np.float32))])
    maps = graph.add("Softmax", [graph.add("MatMul", [q, k])], axis=-1)
    mixed = graph.add("Transpose", [graph.add("MatMul", [maps, v])], perm=[0, 2, 1, 3])
    merged = graph.add("Reshape", [mixed, graph.ints(f"merged_{width}", [0, tokens, width])])
    x = graph.add("Add", [x, graph.linear(f"{name}.attn.proj", merged, weights)])

    hidden = graph.linear(f"{name}.mlp.fc1", graph.norm(f"{name}.norm2", x, weights), weights)
    return graph.add("Add", [x, graph.linear(f"{name}.mlp.fc2", graph.gelu(hidden), weights)])


class _Graph:
    """Nodes and initializers while they are collected; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    @property
    def initializers(self) -> list[onnx.TensorProto]:
        return list(self._initializers.values())

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        return self.add_many(operator, inputs, [output or f"{operator}_{len(self.nodes)}"], **attributes)[0]

    def add_many(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def ints(self, name: str, values: list[int]) -> str:
        return self.constant(name, np.array(values, np.int64))

    def weight(self, name: str, weights: Mapping[str, Floats]) -> str:
        return self.constant(name, weights[name])

    def linear(self, name: str, x: str, weights: Mapping[str, Floats]) -> str:
        product = self.add("MatMul", [x, self.constant(f"{name}.weight", weights[f"{name}.weight"].T)])
        return self.add("Add", [product, self.weight(f"{name}.bias", weights)])

    def norm(self, name: str, x: str, weights: Mapping[str, Floats]) -> str:
        scale_and_shift = [self.weight(f"{name}.{part}", weights) for part in ("weight", "bias")]
        return self.add("LayerNormalization", [x, *scale_and_shift], axis=-1, epsilon=LAYER_NORM_EPSILON)

    def gelu(self, x: str) -> str:
        """X * (1 + erf(x / sqrt(2))) / 2 in the form every runtime fuses; the Gelu operator is opset 20 only."""
        scaled = self.add("Div", [x, self.constant("sqrt_2", np.array(2**0.5, np.float32))])
        shifted = self.add("Add", [self.add("Erf", [scaled]), self.constant("one", np.array(1, np.float32))])
        return self.add("Mul", [self.add("Mul", [x, shifted]), self.constant("half", np.array(0.5, np.float32))])
