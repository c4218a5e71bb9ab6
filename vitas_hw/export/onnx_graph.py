"""The ONNX graph of a plain vision transformer, written directly from the subnet.

Going through ``torch.onnx.export`` costs seconds a subnet; profiling needs hundreds of them. The weights are named and
laid out as in timm's state dict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.export.onnx_writer import INPUT, OUTPUT, Floats, OnnxWriter

__all__ = ["CPU_WEIGHT_LIMIT", "INPUT", "OUTPUT", "onnx_graph", "parameter_shapes", "random_weights"]

# Largest int8 weight on x86 processors: those without VNNI add two 8-bit products in 16 bits, which overflows with
# larger ones, in ONNX Runtime and OpenVINO alike; it costs one bit of the weights.
CPU_WEIGHT_LIMIT = 63


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
    weights = {}
    for name, shape in parameter_shapes(subnet).items():
        # a matrix as the transpose of what is contiguous: MatMul's layout is then written without reordering
        own = rng.random(shape[::-1], np.float32).T if len(shape) == 2 else rng.random(shape, np.float32)
        own -= np.float32(0.5)
        own *= np.float32(0.07)
        if "norm" in name and name.endswith("weight"):
            own += np.float32(1)
        weights[name] = own
    return weights


def onnx_graph(
    subnet: Subnet,
    weights: Mapping[str, Floats],
    *,
    batch_size: int | None = None,
    metadata: Mapping[str, str] | None = None,
    precision: str = "fp32",
    keep_fp32: bool = True,
    scales: Mapping[str, float] | None = None,
    weight_limit: int = 127,
) -> onnx.ModelProto:
    """The model ``images (B, in_chans, height, width) -> logits (B, num_classes)``, both float32 in every precision.

    Args:
        subnet: the architecture.
        weights: timm's state dict as numpy arrays, shapes as in ``parameter_shapes``.
        batch_size: fixed batch; None leaves it open.
        metadata: text stored under ``metadata_props``.
        precision: one of ``PRECISIONS``. In int8 the convolution and the linears are quantised symmetrically, weights
            per output channel; biases, attention products, norms and residuals stay float32.
        keep_fp32: with fp16 and bf16: norms and softmax in float32, between casts.
        scales: with int8: the activations' step at the input of ``patch_embed.proj``, of each block's ``attn.qkv``,
            ``attn.proj``, ``mlp.fc1``, ``mlp.fc2`` and of ``head``, by name (``blocks.0.attn.qkv``). None takes one
            step for all that suits timing, not accuracy.
        weight_limit: with int8: largest weight, see ``CPU_WEIGHT_LIMIT``.

    Raises:
        InputError: unknown precision, or a scale is missing or not positive.
    """
    graph = OnnxWriter(weights, precision, keep_fp32=keep_fp32, scales=scales, weight_limit=weight_limit)
    tokens, e = subnet.num_patches + 1, subnet.embed_dim

    patches = graph.convolution("patch_embed.proj", graph.enter(), subnet.patch_size)
    flat = graph.add("Reshape", [patches, graph.ints("patch_shape", [0, e, subnet.num_patches])])
    x = graph.add("Transpose", [flat], perm=[0, 2, 1])
    # A row of zeros in front, then one sum with the positions, whose first row holds the class token too: works for
    # any batch size without a Shape operator, and is exact.
    x = graph.add("Pad", [x, graph.ints("class_row", [0, 1, 0, 0, 0, 0])])
    positions = weights["pos_embed"].copy()
    positions[:, :1] += weights["cls_token"]
    x = graph.add("Add", [x, graph.constant("positions", positions)])

    for index, block in enumerate(subnet.blocks):
        x = _block(graph, f"blocks.{index}", block, x, tokens)

    x = graph.add("Gather", [x, graph.ints("class_index", 0)], axis=1)
    graph.leave("head", graph.norm("norm", x))
    batch = batch_size or "batch"
    return graph.finish([batch, subnet.in_chans, *subnet.image_size], [batch, subnet.num_classes], metadata)


def _block(graph: OnnxWriter, name: str, block: Block, x: str, tokens: int) -> str:
    width, heads, dim = block.attn_dim, block.num_heads, block.head_dim
    qkv = graph.linear(f"{name}.attn.qkv", graph.norm(f"{name}.norm1", x))
    names = [f"{name}.attn.{part}" for part in "qkv"]
    thirds = graph.add_many("Split", [qkv, graph.ints(f"thirds_{width}", [width] * 3)], names, axis=-1)
    shape = graph.ints(f"heads_{heads}_{dim}", [0, tokens, heads, dim])
    # k transposed for the product; scaling q touches dim values a token where scaling the scores touches `tokens`
    q, k, v = (
        graph.add("Transpose", [graph.add("Reshape", [third, shape])], perm=perm)
        for third, perm in zip(thirds, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    q = graph.add("Mul", [q, graph.constant(f"scale_{dim}", dim**-0.5)])
    maps = graph.softmax(graph.add("MatMul", [q, k]))
    mixed = graph.add("Transpose", [graph.add("MatMul", [maps, v])], perm=[0, 2, 1, 3])
    merged = graph.add("Reshape", [mixed, graph.ints(f"merged_{width}", [0, tokens, width])])
    x = graph.add("Add", [x, graph.linear(f"{name}.attn.proj", merged)])

    hidden = graph.linear(f"{name}.mlp.fc1", graph.norm(f"{name}.norm2", x))
    return graph.add("Add", [x, graph.linear(f"{name}.mlp.fc2", graph.gelu(hidden))])
