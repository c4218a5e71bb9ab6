"""What will run, with shapes, as columns over a batch of subnets.

The one source of MACs, parameters and predictor features. Everything is numpy over all subnets at
once, because a search asks for millions of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from vitas_hw.core.subnet import Subnet

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Convention = Literal["true", "authors"]
KINDS = ("convolution", "embedding", "norm", "linear", "attention", "softmax", "activation", "residual")
PRODUCTS = ("convolution", "linear", "attention")  # kinds that have MACs
WEIGHTED = ("convolution", "embedding", "norm", "linear")  # kinds that have parameters


@dataclass(frozen=True)
class SubnetColumns:
    """N subnets as arrays. Block arrays are (N, L), zero where a subnet has fewer than L blocks; the rest is (N,)."""

    height: Ints
    width: Ints
    in_chans: Ints
    patch_size: Ints
    embed_dim: Ints
    num_classes: Ints
    num_heads: Ints
    head_dim: Ints
    mlp_dim: Ints

    def __len__(self) -> int:
        return len(self.embed_dim)

    def rows(self, chosen: Ints | slice) -> SubnetColumns:
        """Some of the subnets, by index."""
        return SubnetColumns(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})

    def distinct_blocks(self) -> tuple[SubnetColumns, Ints]:
        """The U different blocks as subnets of one block each, and (N, L) where each block is among them.

        What is outside the blocks counts to a block's identity, so that sizes that add up over blocks can be counted
        once for each of U and gathered. An absent block is one without heads.
        """
        once = [getattr(self, name) for name in _ONCE]
        key, size = np.zeros_like(self.num_heads), 1
        for values in (*once, *(getattr(self, name) for name in _PER_BLOCK)):
            numbers, different = _numbered(values)
            key = key * different + (numbers[:, None] if values.ndim == 1 else numbers)
            size *= different
            if size > _MOST_KEYS:
                key, size = _numbered(key)
        seen = np.zeros(size, bool)
        seen[key] = True
        first = np.zeros(size, np.int64)
        first[key.ravel()] = np.arange(key.size)
        subnet, block = np.divmod(first[seen], max(key.shape[1], 1))
        blocks = {name: getattr(self, name)[subnet, block][:, None] for name in _PER_BLOCK}
        outside = {name: getattr(self, name)[subnet] for name in _ONCE}
        return SubnetColumns(**outside, **blocks), (np.cumsum(seen) - 1)[key]

    @classmethod
    def of(cls, subnets: Sequence[Subnet]) -> SubnetColumns:
        depth = max((s.depth for s in subnets), default=1)
        blocks = np.zeros((3, len(subnets), depth), np.int64)
        for row, subnet in enumerate(subnets):
            blocks[:, row, : subnet.depth] = [
                [b.num_heads for b in subnet.blocks],
                [b.head_dim for b in subnet.blocks],
                [b.mlp_dim for b in subnet.blocks],
            ]
        rest = np.array(
            [(*s.image_size, s.in_chans, s.patch_size, s.embed_dim, s.num_classes) for s in subnets], np.int64
        ).reshape(len(subnets), 6)
        return cls(*rest.T, *blocks)


_ONCE = ("height", "width", "in_chans", "patch_size", "embed_dim", "num_classes")
_PER_BLOCK = ("num_heads", "head_dim", "mlp_dim")
_MOST_KEYS = 1 << 22


def _numbered(values: Ints) -> tuple[Ints, int]:
    """Each value's number among the different ones, and how many those are."""
    if not values.size:
        return values, 1
    if values.min() >= 0 and values.max() < _MOST_KEYS:
        seen = np.zeros(int(values.max()) + 1, bool)
        seen[values] = True
        return (np.cumsum(seen) - 1)[values], int(seen.sum())
    different, numbers = np.unique(values, return_inverse=True)
    return numbers.reshape(values.shape), len(different)


@dataclass(frozen=True)
class Operator:
    """One operator of the graph over N subnets and L blocks (L = 1 outside the blocks); absent blocks hold zeros.

    As a matrix product it is ``batch`` times (m x k) @ (k x n). ``weights`` counts its parameters; ``inputs`` and
    ``outputs`` count the activation elements it reads and writes. All arrays are (N, L).
    """

    name: str
    kind: str
    present: Bools
    macs: Ints
    weights: Ints
    inputs: Ints
    outputs: Ints
    batch: Ints
    m: Ints
    k: Ints
    n: Ints


@dataclass(frozen=True)
class Operators:
    """All operators of N subnets, in the order in which they run."""

    columns: SubnetColumns
    rows: tuple[Operator, ...]

    def of_kind(self, *kinds: str) -> tuple[Operator, ...]:
        return tuple(row for row in self.rows if row.kind in kinds)

    @cached_property
    def macs(self) -> Ints:
        """(N,) multiply-accumulates of one image."""
        return _total(row.macs for row in self.rows)

    @cached_property
    def params(self) -> Ints:
        """(N,) parameters."""
        return _total(row.weights for row in self.rows)


def operators(subnets: Sequence[Subnet] | SubnetColumns, convention: Convention = "true") -> Operators:
    """The operators of a batch of subnets.

    Args:
        subnets: N subnets, or their columns.
        convention: ``true`` is what runs. ``authors`` reproduces the figures printed in the ViTAS paper, whose
            counter leaves out the class token and counts the classifier once per patch; never a default.
    """
    c = subnets if isinstance(subnets, SubnetColumns) else SubnetColumns.of(subnets)
    patches = (c.height // c.patch_size) * (c.width // c.patch_size)
    tokens = patches if convention == "authors" else patches + 1
    head_rows = patches if convention == "authors" else np.ones_like(patches)
    once = np.ones((len(c), 1), bool)
    there = c.num_heads > 0
    p, t, e = patches[:, None], tokens[:, None], c.embed_dim[:, None]
    h, d, f = c.num_heads, c.head_dim, c.mlp_dim
    a = h * d
    patch_inputs = (c.in_chans * c.patch_size**2)[:, None]
    classes = c.num_classes[:, None]
    rows = (
        _linear("patch_embed", once, p, patch_inputs, e, kind="convolution"),
        _operator("pos_embed", "embedding", once, inputs=p * e, outputs=t * e, weights=(p + 2) * e),
        _operator("norm1", "norm", there, inputs=t * e, outputs=t * e, weights=2 * e),
        _linear("qkv", there, t, e, 3 * a),
        _operator("scores", "attention", there, inputs=2 * t * a, outputs=h * t * t, product=(h, t, d, t)),
        _operator("softmax", "softmax", there, inputs=h * t * t, outputs=h * t * t),
        _operator("values", "attention", there, inputs=h * t * t + t * a, outputs=h * t * d, product=(h, t, t, d)),
        _linear("proj", there, t, a, e),
        _operator("residual1", "residual", there, inputs=2 * t * e, outputs=t * e),
        _operator("norm2", "norm", there, inputs=t * e, outputs=t * e, weights=2 * e),
        _linear("fc1", there, t, e, f),
        _operator("gelu", "activation", there, inputs=t * f, outputs=t * f),
        _linear("fc2", there, t, f, e),
        _operator("residual2", "residual", there, inputs=2 * t * e, outputs=t * e),
        _operator("norm", "norm", once, inputs=t * e, outputs=t * e, weights=2 * e),
        _linear("head", once, head_rows[:, None], e, classes),
    )
    return Operators(c, rows)


def _linear(name: str, present: Bools, m: Ints, k: Ints, n: Ints, kind: str = "linear") -> Operator:
    product = (np.ones_like(m), m, k, n)
    return _operator(name, kind, present, inputs=m * k, outputs=m * n, weights=k * n + n, product=product)


def _operator(
    name: str,
    kind: str,
    present: Bools,
    *,
    inputs: Ints,
    outputs: Ints,
    weights: Ints | None = None,
    product: tuple[Ints, Ints, Ints, Ints] | None = None,
) -> Operator:
    zero = np.zeros_like(inputs)
    batch, m, k, n = product or (zero, zero, zero, zero)
    sizes = (batch * m * k * n, zero if weights is None else weights, inputs, outputs, batch, m, k, n)
    return Operator(name, kind, present, *(np.where(present, size, 0) for size in sizes))


def _total(parts: object) -> Ints:
    return np.add.reduce([part.sum(axis=1) for part in parts])  # type: ignore[attr-defined,no-any-return]
