"""Channels of a plain model in another order: it computes the same, and a slice of the first ones is what one likes.

Three kinds of channels can change places. Those of the embedding do so in all weights at once, because every block adds
to the same tokens; whole heads, and channels of an MLP, within their block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.elastic import Weights

EMBED, HEADS, MLP = "embed", "heads", "mlp"
Group = tuple[str, int]  # kind and block; the embedding has none and stands as block 0
Order = Mapping[Group, Tensor]  # of each group: which channel or head stands first, second ...

_ROWS = {  # what the first dimension of weight and bias counts
    "patch_embed.proj": EMBED,
    "norm": EMBED,
    "norm1": EMBED,
    "norm2": EMBED,
    "attn.q": HEADS,
    "attn.k": HEADS,
    "attn.v": HEADS,
    "attn.proj": EMBED,
    "mlp.fc1": MLP,
    "mlp.fc2": EMBED,
}
_COLUMNS = {  # what the last dimension counts
    "cls_token": EMBED,
    "pos_embed": EMBED,
    "head.weight": EMBED,
    "attn.q.weight": EMBED,
    "attn.k.weight": EMBED,
    "attn.v.weight": EMBED,
    "attn.proj.weight": HEADS,
    "mlp.fc1.weight": EMBED,
    "mlp.fc2.weight": MLP,
}


class Dimension(NamedTuple):
    """A dimension of a weight: what it counts, and how many channels each of those has."""

    dim: int
    group: Group
    each: int


def dimensions(name: str, subnet: Subnet) -> Iterator[Dimension]:
    """Those of a weight, by its name in the state dict of a plain model with q, k and v apart."""
    block, part = block_of(name)
    of_a_head = subnet.blocks[block].head_dim if block is not None else 0
    stem = part.rpartition(".")[0]
    for dim, kind in ((0, _ROWS.get(stem)), (-1, _COLUMNS.get(part))):
        if kind is not None:
            group = (kind, 0 if kind == EMBED or block is None else block)
            yield Dimension(dim, group, of_a_head if kind == HEADS else 1)


def block_of(name: str) -> tuple[int | None, str]:
    """The number of the block that a weight belongs to, if any, and its name there."""
    if not name.startswith("blocks."):
        return None, name
    _, number, part = name.split(".", 2)
    return int(number), part


def apart(weights: Weights) -> Weights:
    """The same with q, k and v under names of their own."""
    found: Weights = {}
    for name, weight in weights.items():
        if ".qkv." in name:
            found |= {name.replace("qkv", part): each for part, each in zip("qkv", weight.chunk(3), strict=True)}
        else:
            found[name] = weight
    return found


def joined(weights: Weights) -> Weights:
    """Inverse of ``apart``."""
    found: Weights = {}
    for name, weight in weights.items():
        if ".attn.q." in name:
            qkv = (weights[name.replace(".q.", f".{part}.")] for part in "qkv")
            found[name.replace(".q.", ".qkv.")] = torch.cat([*qkv])
        elif ".attn.k." not in name and ".attn.v." not in name:
            found[name] = weight
    return found


def permuted(weights: Weights, subnet: Subnet, order: Order) -> Weights:
    """The model with its channels in that order: the same logits, but for the rounding of sums.

    Args:
        weights: of a plain model, under timm's names.
        subnet: its shape.
        order: of any of its groups, a permutation.
    """
    found = apart(weights)
    for name, weight in found.items():
        for dim, group, each in dimensions(name, subnet):
            if group in order:
                first = order[group].to(weight.device)[:, None] * each
                chosen = (first + torch.arange(each, device=weight.device)).flatten()
                weight = weight.index_select(dim, chosen)
        found[name] = weight
    return joined(found)
