"""A subnet drawn block by block: the numbers of an SVG that fits any width."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.operators import operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet

_PER_COLUMN = 38.0  # percent of the drawing's width
_GAP = 0.5  # percent between two heads
_OF_A_BLOCK = ("qkv", "scores", "values", "proj", "fc1", "fc2")  # operators that have MACs
_MOST_LINES = 16  # of the patches' grid: finer ones would be grey


@dataclass(frozen=True)
class BlockRow:
    """A block: each head a bar (left edge and width in percent of its column), the MLP one bar, its share of MACs."""

    heads: tuple[tuple[float, float], ...]
    mlp: float
    share: float


@dataclass(frozen=True)
class Drawing:
    """A subnet; bars are relative to the widest of the space, lengths in percent of the drawing's width.

    ``grid`` is how many patches stand in a row and in a column of the image.
    """

    subnet: Subnet
    grid: tuple[int, int]
    embed: float
    widest_embed: int
    rows: tuple[BlockRow, ...]

    @property
    def draws_patches(self) -> bool:
        return max(self.grid) <= _MOST_LINES


def in_words(subnet: Subnet) -> str:
    """A subnet in a few words."""
    return f"patch {subnet.patch_size}, width {subnet.embed_dim}, {subnet.depth} blocks"


def blocks_words(subnet: Subnet) -> str:
    """Heads, their width and the MLP's, of each block."""
    return " · ".join(f"{block.num_heads}×{block.head_dim}/{block.mlp_dim}" for block in subnet.blocks)


def draw(subnet: Subnet, space: SearchSpace) -> Drawing:
    """The drawing of a subnet of the space."""
    widest_attention, widest_embed = space.attn_widths()[-1], max(space.embed_dims)
    blocks = sum(row.macs[0] for row in operators([subnet]).rows if row.name in _OF_A_BLOCK)
    rows = []
    for place, block in enumerate(subnet.blocks):
        whole = _PER_COLUMN * block.attn_dim / widest_attention
        each = whole / block.num_heads
        gap = min(_GAP, each / 3)
        rows.append(
            BlockRow(
                heads=tuple((head * each, each - gap) for head in range(block.num_heads)),
                mlp=_PER_COLUMN * block.mlp_dim / space.mlp_widths[-1],
                share=float(blocks[place]) / subnet.macs,
            )
        )
    grid = (subnet.image_size[1] // subnet.patch_size, subnet.image_size[0] // subnet.patch_size)
    return Drawing(subnet, grid, subnet.embed_dim / widest_embed, widest_embed, tuple(rows))
