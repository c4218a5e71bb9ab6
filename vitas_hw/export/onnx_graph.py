"""The ONNX graph of a plain vision transformer, written directly from the subnet.

Going through ``torch.onnx.export`` costs seconds a subnet; profiling needs hundreds of them. The weights are named and
laid out as in timm's state dict, and are not copied about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import PRECISIONS

Floats = npt.NDArray[np.float32]
IR_VERSION = 10
LAYER_NORM_EPSILON = 1e-6  # timm's ViT; torch's own default is 1e-5
INPUT, OUTPUT = "images", "logits"
NOMINAL_SCALE = 6 / 127  # int8 for values within +-6: a normed activation's range; for timing, not for accuracy
_OPSETS = {"fp32": 18, "fp16": 18, "bf16": 22, "int8": 18}  # convolution knows bfloat16 from 22 on
_TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_STORED = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int8": TensorProto.INT8}
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
    scales: Mapping[str, float] | None = None,
    weight_limit: int = 127,
) -> onnx.ModelProto:
    """The model ``images (B, in_chans, height, width) -> logits (B, num_classes)``, both float32 in every precision.

    Args:
        subnet: the architecture.
        weights: timm's state dict as numpy arrays, shapes as in ``parameter_shapes``.
        batch_size: fixed batch; None leaves it open.
        metadata: text stored under ``metadata_props``.
        precision: one of ``PRECISIONS``. In fp16 and bf16 norms and softmax stay float32, between casts. In int8 the
            convolution and the linears are quantised symmetrically, weights per output channel; biases, attention
            products, norms and residuals stay float32.
        scales: with int8: the activations' step at the input of ``patch_embed.proj``, of each block's ``attn.qkv``,
            ``attn.proj``, ``mlp.fc1``, ``mlp.fc2`` and of ``head``, by name (``blocks.0.attn.qkv``). None takes one
            step for all that suits timing, not accuracy.
        weight_limit: with int8: largest weight, see ``CPU_WEIGHT_LIMIT``.

    Raises:
        InputError: unknown precision, or a scale is missing or not positive.
    """
    graph = OnnxWriter(weights, precision, scales=scales, weight_limit=weight_limit)
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


class OnnxWriter:
    """A graph while it is written; every method returns the name of a tensor.

    Args:
        weights: timm's state dict as numpy arrays.
        precision: of weights, activations and products; norms and softmax are float32, between casts; in int8
            everything but the linears and the convolution stays float32.
        scales: int8 activation scale of each linear's input, by the linear's name; None takes ``NOMINAL_SCALE``.
        weight_limit: largest int8 weight.

    Raises:
        InputError: unknown precision; while a linear is written: ``scales`` has none for it.
    """

    def __init__(
        self,
        weights: Mapping[str, Floats],
        precision: str,
        *,
        scales: Mapping[str, float] | None = None,
        weight_limit: int = 127,
    ) -> None:
        if precision not in PRECISIONS:
            raise one_of(precision, PRECISIONS, "precision")
        self._weights, self._scales, self._limit = weights, scales, weight_limit
        self._quantised = precision == "int8"
        self._type = _TYPES.get(precision, TensorProto.FLOAT)
        self._keeps = self._type != TensorProto.FLOAT
        self._model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="vitas-hw")
        self._model.opset_import.add(domain="", version=_OPSETS[precision])
        self._graph = self._model.graph
        self._graph.name = "vitas"
        self._known: set[str] = set()

    def finish(
        self, input_shape: list[int | str], output_shape: list[int | str], metadata: Mapping[str, str] | None
    ) -> onnx.ModelProto:
        """The model, its images and logits float32."""
        self._graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, input_shape))
        self._graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, output_shape))
        if metadata:
            helper.set_model_props(self._model, dict(metadata))
        return self._model

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        return self.add_many(operator, inputs, [output or f"{operator}_{len(self._graph.node)}"], **attributes)[0]

    def add_many(self, operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> list[str]:
        node = self._graph.node.add(op_type=operator, name=f"{operator}_{len(self._graph.node)}")
        node.input.extend(inputs)
        node.output.extend(outputs)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return outputs

    def ints(self, name: str, values: int | list[int]) -> str:
        return self._store(name, np.array(values, np.int64))

    def constant(self, name: str, values: npt.ArrayLike) -> str:
        """Float values in the graph's own type."""
        return self._store(name, np.asarray(values, np.float32), self._type)

    def enter(self) -> str:
        """The images in the graph's type."""
        return INPUT if self._type == TensorProto.FLOAT else self.add("Cast", [INPUT], to=self._type)

    def leave(self, name: str, x: str) -> None:
        """The graph's output, float32, by the linear ``name`` of x (B, columns)."""
        if self._quantised:  # three dimensions, as its bias has
            logits = self.linear(name, self.add("Unsqueeze", [x, self.ints("second", [1])]))
            self.add("Squeeze", [logits, self.ints("second", [1])], OUTPUT)
        elif self._type == TensorProto.FLOAT:
            self.linear(name, x, OUTPUT)
        else:
            self.add("Cast", [self.linear(name, x)], OUTPUT, to=TensorProto.FLOAT)

    def convolution(self, name: str, x: str, patch_size: int) -> str:
        """Patches of (B, C, H, W) as (B, E, rows, columns)."""
        x, weight = self._operands(name, x, self._weights[f"{name}.weight"], axis=0)
        bias = self._store(f"{name}.bias", self._weights[f"{name}.bias"], self._type)
        return self.add("Conv", [x, weight, bias], kernel_shape=[patch_size] * 2, strides=[patch_size] * 2)

    def linear(self, name: str, x: str, output: str = "") -> str:
        """(..., columns) of (..., rows): MatMul wants timm's weight transposed."""
        x, weight = self._operands(name, x, self._weights[f"{name}.weight"].T, axis=1)
        product = self.add("MatMul", [x, weight])
        bias = self._weights[f"{name}.bias"]
        # ONNX Runtime merges a product and a vector into a Gemm before it looks for int8 products, and computes that
        # Gemm in float32; a bias of three dimensions is left alone
        shape = (1, 1, -1) if self._quantised else (-1,)
        return self.add("Add", [product, self._store(f"{name}.bias", bias.reshape(shape), self._type)], output)

    def norm(self, name: str, x: str) -> str:
        own = TensorProto.FLOAT if self._keeps else self._type
        both = [self._store(f"{name}.{part}", self._weights[f"{name}.{part}"], own) for part in ("weight", "bias")]
        y = self.add("LayerNormalization", [self._kept(x), *both], axis=-1, epsilon=LAYER_NORM_EPSILON)
        return self._back(y)

    def softmax(self, x: str) -> str:
        return self._back(self.add("Softmax", [self._kept(x)], axis=-1))

    def gelu(self, x: str) -> str:
        """X * (1 + erf(x / sqrt(2))) / 2 in the form every runtime fuses; the Gelu operator is opset 20 only."""
        scaled = self.add("Div", [x, self.constant("sqrt_2", 2**0.5)])
        shifted = self.add("Add", [self.add("Erf", [scaled]), self.constant("one", 1.0)])
        return self.add("Mul", [self.add("Mul", [x, shifted]), self.constant("half", 0.5)])

    def _operands(self, name: str, x: str, weight: Floats, axis: int) -> tuple[str, str]:
        """Activation and weight of a product; in int8 both go through a symmetric quantisation, zero points 0."""
        if not self._quantised:
            return x, self._store(f"{name}.weight", weight, self._type)
        scale = NOMINAL_SCALE if self._scales is None else self._scales.get(name, 0.0)
        if not 0 < scale < np.inf:
            raise InputError(f"int8 needs a positive activation scale for {name!r}, not {scale}.")
        zero = self._store("zero", np.array(0, np.int8))
        about = [self._store(f"{name}.scale", np.array(scale, np.float32)), zero]
        x = self.add("DequantizeLinear", [self.add("QuantizeLinear", [x, *about]), *about])
        others = tuple(other for other in range(weight.ndim) if other != axis)
        largest = np.abs(weight).max(axis=others, keepdims=True)
        steps = np.maximum(largest / np.float32(self._limit), np.float32(1e-12))
        whole = np.rint(weight / steps).astype(np.int8)
        stored = [self._store(f"{name}.weight", whole), self._store(f"{name}.weight_scale", steps.ravel())]
        zeros = self._store(f"zeros_{steps.size}", np.zeros(steps.size, np.int8))
        return x, self.add("DequantizeLinear", [*stored, zeros], axis=axis)

    def _kept(self, x: str) -> str:
        return self.add("Cast", [x], to=TensorProto.FLOAT) if self._keeps else x

    def _back(self, x: str) -> str:
        return self.add("Cast", [x], to=self._type) if self._keeps else x

    def _store(self, name: str, values: npt.NDArray[Any], kind: int | None = None) -> str:
        """An initializer, written once; the copy of its bytes is the only one before serialisation."""
        if name not in self._known:
            self._known.add(name)
            kind = _STORED[values.dtype.name] if kind is None else kind
            tensor = self._graph.initializer.add(name=name, dims=values.shape, data_type=kind)
            tensor.raw_data = _bytes(values, kind)
        return name


def _bytes(values: npt.NDArray[Any], kind: int) -> bytes:
    if kind == TensorProto.FLOAT16:
        values = values.astype(np.float16)
    elif kind == TensorProto.BFLOAT16:  # numpy has none: the upper half of float32, rounded to the nearest even
        bits = np.ascontiguousarray(values).view(np.uint32)
        values = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return values.tobytes()
