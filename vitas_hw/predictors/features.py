"""What a predictor sees of a subnet: named, versioned columns, from the operators alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vitas_hw.core.operators import KINDS, PRODUCTS, WEIGHTED, Operator, Operators, SubnetColumns, operators
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target

FEATURES_VERSION = 2
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64] | slice
_TILES = (8, 16, 64)  # AVX2 and AVX-512 in float32, and the side of a GPU's block
_THIN = 16  # fewer rows than this leave a product bound by loading its weights
_BALANCES = (2, 8, 64, 256)  # MACs a byte: a core in its cache, from memory; a GPU in float32, its matrix units
_AT_ONCE = 2048  # subnets
_CACHE = 1 << 20  # bytes: a core's own cache
# A model's weights are read once an inference. Those of a model larger than a cache all come from beyond it each time:
# the share that does rises from 0 to 1 somewhere between two of these sizes, half an octave apart.
_MEBIBYTES = tuple(round(2 ** (half / 2), 2) for half in range(17))
_STREAMED = tuple(f"streamed_{size:g}" for size in _MEBIBYTES[:-1])
_ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


class Scale(NamedTuple):
    """What a target does to the sizes: images at once, and bytes an element."""

    batch_size: int = 1
    element_bytes: int = 4

    @classmethod
    def of(cls, target: Target) -> Scale:
        return cls(target.batch_size, _ELEMENT_BYTES[target.precision])


@dataclass(frozen=True)
class FeatureTable:
    """``values`` (N, F) float64 and the F ``names`` of its columns.

    ``physical`` are those that time is a non-negative sum of, in nested sets from few to many; ``size`` is the one
    that stands for the whole work (MACs), where there is one. ``subnets`` are what the rows are of; None for a table of
    somebody's own numbers.
    """

    names: tuple[str, ...]
    values: Floats
    physical: tuple[tuple[str, ...], ...]
    size: str | None
    subnets: SubnetColumns | None = None

    def __len__(self) -> int:
        return len(self.values)

    def columns(self, names: Sequence[str]) -> Floats:
        return self.values[:, [self.names.index(name) for name in names]]

    def rows(self, chosen: Rows) -> FeatureTable:
        subnets = None if self.subnets is None else self.subnets.rows(chosen)
        return FeatureTable(self.names, self.values[chosen], self.physical, self.size, subnets)


_FEW = ("macs", "operators", "bytes")
_SOME = ("convolution.macs", "linear.macs", "attention.macs", "operators", "weight_bytes", "moved_bytes")
_MANY = (
    "operators",
    "softmax.count",
    "heads",
    "convolution.macs",
    "linear.macs",
    "attention.macs",
    "thin_macs",
    *(f"{kind}.waste_{tile}" for kind in ("linear", "attention") for tile in _TILES),
    *(f"excess_{balance}" for balance in _BALANCES),
    "weight_bytes",
    "linear.moved",
    "attention.moved",
    "softmax.moved",
    "norm.moved",
    "activation.moved",
    "beyond_cache",
)
PHYSICAL = (("macs",), _FEW, _SOME, (*_SOME, *_STREAMED), (*_MANY, *_STREAMED))


def features(columns: SubnetColumns, scale: Scale) -> FeatureTable:
    """Sizes of one inference of N subnets: ``scale.batch_size`` images.

    Per kind of operator: how many, MACs, bytes of weights, bytes of activations moved. Over the products:
    ``waste_T`` are the MACs added by rounding sizes up to the hardware's tile T; ``excess_B`` is the time, in MACs,
    that moving bytes takes beyond the MACs on hardware that does B MACs in the time of a byte (the roofline);
    ``thin_macs`` belong to products of fewer than 16 rows; ``beyond_cache`` are the bytes of products that do not fit
    a core's own cache. All of these add up over operators, so each different block is counted once. ``streamed_M`` are
    the bytes of weights read from beyond a cache of M MiB; ``head_width`` and ``tokens`` are means over the heads.
    """
    absent = np.zeros((len(columns), 1), np.int64)
    bare, of_subnet = replace(columns, num_heads=absent, head_dim=absent, mlp_dim=absent).distinct_blocks()
    blocks, of_block = columns.distinct_blocks()
    names = _additive_names()
    outside_values, block_values = _additive_rows(bare, scale), _additive_rows(blocks, scale)
    values = _summed(block_values, of_block)  # which counts what is outside the blocks once a block
    values -= outside_values[of_subnet[:, 0]] * (of_block.shape[1] - 1)
    sums = dict(zip(names, values.T, strict=True))
    elements = sums["softmax.moved"] / (2 * scale.element_bytes)  # tokens x tokens for each head
    octave = np.log2(np.maximum(sums["weight_bytes"], 1) / 2**20)
    ends = np.log2(_MEBIBYTES)[:, None]
    streamed = sums["weight_bytes"] * np.clip((octave - ends[:-1]) / np.diff(ends, axis=0), 0, 1)  # (sizes, N)
    derived = {
        "tokens": np.sqrt(elements / np.maximum(sums["heads"], 1)),
        "head_width": sums["attention.macs"] / np.maximum(2 * elements, 1),
        **dict(zip(_STREAMED, streamed, strict=True)),
    }
    return FeatureTable((*names, *derived), np.column_stack([values, *derived.values()]), PHYSICAL, "macs", columns)


@cache
def feature_names() -> tuple[str, ...]:
    """The names of the columns of ``features``: the same for every subnet and target."""
    return features(SubnetColumns.of([Subnet((8, 8), 1, 8, 8, (Block(1, 8, 8),), 2)]), Scale()).names


# known rows of ``additive``: a search asks for a few blocks again and again
_rows_of_blocks: dict[tuple[Scale, bytes], Floats] = {}
_MOST_KNOWN = 1 << 15


def _additive_rows(blocks: SubnetColumns, scale: Scale) -> Floats:
    """(U, F) the columns of ``additive`` for U subnets of one block each."""
    sizes = np.column_stack([getattr(blocks, name) for name in blocks.__dataclass_fields__])
    keys = [(scale, row.tobytes()) for row in sizes]
    new = [place for place, key in enumerate(keys) if key not in _rows_of_blocks]
    found = {key: _rows_of_blocks[key] for key in keys if key in _rows_of_blocks}
    if new:
        rows = np.stack(list(additive(operators(blocks.rows(np.array(new))), scale).values()), axis=1)
        found |= {keys[place]: row for place, row in zip(new, rows, strict=True)}
        if len(_rows_of_blocks) + len(new) > _MOST_KNOWN:
            _rows_of_blocks.clear()
        if len(new) <= _MOST_KNOWN:
            _rows_of_blocks.update(found)
    return np.stack([found[key] for key in keys]) if keys else np.zeros((0, len(_additive_names())))


@cache
def _additive_names() -> tuple[str, ...]:
    one = SubnetColumns.of([Subnet((8, 8), 1, 8, 8, (Block(1, 8, 8),), 2)])
    return tuple(additive(operators(one), Scale()))


def additive(operators: Operators, scale: Scale) -> dict[str, Floats]:
    """The columns of ``features`` that add up over operators, (N,) each."""
    images, size = scale.batch_size, scale.element_bytes
    table: dict[str, Floats] = {"operators": _sum(row.present for row in operators.rows)}
    for kind in KINDS:
        of_kind = operators.of_kind(kind)
        table[f"{kind}.count"] = _sum(row.present for row in of_kind)
        table[f"{kind}.moved"] = _sum(part for row in of_kind for part in (row.inputs, row.outputs)) * images * size
        if kind in PRODUCTS:
            table[f"{kind}.macs"] = _sum(row.macs for row in of_kind) * images
        if kind in WEIGHTED:
            table[f"{kind}.weights"] = _sum(row.weights for row in of_kind) * size
    table["macs"] = _added(table, PRODUCTS, "macs")
    table["weight_bytes"] = _added(table, WEIGHTED, "weights")
    table["moved_bytes"] = _added(table, KINDS, "moved")
    table["bytes"] = table["weight_bytes"] + table["moved_bytes"]
    products = operators.of_kind(*PRODUCTS)
    for tile in _TILES:
        for kind in ("linear", "attention"):
            padded = _sum(_padded_macs(row, tile, images) for row in operators.of_kind(kind))
            table[f"{kind}.waste_{tile}"] = padded - table[f"{kind}.macs"]
    traffic = [(row.weights + (row.inputs + row.outputs) * images) * size for row in products]
    for balance in _BALANCES:
        beyond = (balance * moved - row.macs * images for row, moved in zip(products, traffic, strict=True))
        table[f"excess_{balance}"] = _sum(np.maximum(part, 0) for part in beyond)
    table["beyond_cache"] = _sum(np.where(moved > _CACHE, moved, 0) for moved in traffic)
    table["thin_macs"] = _sum(row.macs * (row.m * images < _THIN) for row in products) * images
    table["heads"] = _sum(row.batch for row in operators.of_kind("attention")) * images / 2  # two products a head
    return table


def _padded_macs(row: Operator, tile: int, images: int) -> Ints:
    """MACs of a product with its inner and outer sizes rounded up to the tile; a GPU's (64) also cuts the rows."""
    rows = row.m * images
    if tile == 64:
        rows = _padded(row.m, tile) * images if row.kind == "attention" else _padded(rows, tile)
    return row.batch * rows * _padded(row.k, tile) * _padded(row.n, tile)


def _padded(sizes: Ints, tile: int) -> Ints:
    return (sizes + (tile - 1)) & -tile  # tiles are powers of two


def _added(table: dict[str, Floats], kinds: Sequence[str], what: str) -> Floats:
    return np.add.reduce([table[f"{kind}.{what}"] for kind in kinds])  # type: ignore[no-any-return]


def _summed(values: Floats, chosen: Ints) -> Floats:
    """(N, F) sums of the rows of ``values`` that ``chosen`` (N, depth) names; a few at a time: caches are small."""
    sums = np.zeros((len(chosen), values.shape[1]))
    for start in range(0, len(chosen), _AT_ONCE):
        some = sums[start : start + _AT_ONCE]
        for rows in chosen[start : start + _AT_ONCE].T:
            some += values[rows]
    return sums


def _sum(parts: Iterable[npt.NDArray[np.generic]]) -> Floats:
    return np.add.reduce([part.sum(axis=1, dtype=np.float64) for part in parts])  # type: ignore[no-any-return]
