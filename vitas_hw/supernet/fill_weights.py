"""A plain model's weights written into the supernet, where the subnet of its shape reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.elastic import ElasticAttention, ElasticBlock, Weights
from vitas_hw.supernet.sharing import put
from vitas_hw.supernet.stem import ElasticStem
from vitas_hw.supernet.supernet import Supernet

Grid = tuple[int, int]


@torch.no_grad()
def fill(supernet: Supernet, weights: Weights, subnet: Subnet, grid: Grid) -> None:
    """Make ``subnet`` compute what the plain model of ``weights`` does, on the first side of the sharing scheme.

    What the model has no weights for stays as it is: channels beyond its widths, deeper blocks, and the classifier
    where ``weights`` has none. Patch sizes and head counts other than the model's get its weights as well, resampled
    or cut, if they have private ones.

    Args:
        supernet: changed in place.
        weights: under timm's names, of the subnet's shapes except that ``pos_embed`` is of ``grid`` and ``head.weight``
            and ``head.bias`` may lack.
        subnet: of the supernet's space.
        grid: rows and columns of patches whose positions ``weights`` has.
    """
    side, embed_dim = supernet.sides[0], subnet.embed_dim
    _fill_stem(supernet.stem, weights, subnet, grid, side)
    apart = dict(weights)
    for index, shape in enumerate(subnet.blocks):
        attn, block = f"blocks.{index}.attn", supernet.blocks[index]
        for kind in ("weight", "bias"):
            q, k, v = weights[f"{attn}.qkv.{kind}"].chunk(3)
            apart |= {f"{attn}.q.{kind}": q, f"{attn}.k.{kind}": k, f"{attn}.v.{kind}": v}
        assert isinstance(block, ElasticBlock)
        for like in _other_heads(block.attn, shape):
            places = block.attn.places(embed_dim, like, side)
            for name in ("q.weight", "k.weight", "q.bias", "k.bias"):
                put(apart[f"{attn}.{name}"], *places[name])
    for name, place in supernet.places(subnet, side, range(subnet.depth)).items():
        if name in apart:
            put(apart[name], *place)


def _other_heads(attention: ElasticAttention, shape: Block) -> list[Block]:
    """The block with every number of heads, as wide as it is; where a number has one width only (head_dim is tied),
    that wide: its heads are filled as far as both have them.
    """
    widths = {count: attention.qk[owner] for count, owner in attention.owner.items()}
    wide = {count: shape.attn_dim if shape.attn_dim in axis.widths else axis.most for count, axis in widths.items()}
    return [replace(shape, num_heads=count, head_dim=width // count) for count, width in wide.items()]


def _fill_stem(stem: ElasticStem, weights: Weights, subnet: Subnet, grid: Grid, side: str) -> None:
    kernel, positions = weights["patch_embed.proj.weight"], weights["pos_embed"]
    shared = {}
    if "patch_embed" not in stem.private:
        shared["patch_embed.proj.weight"] = _shared_kernel(stem, kernel)
    if "pos_embed" not in stem.private:
        own = resample_abs_pos_embed(positions, list(stem.grids[subnet.patch_size]), list(grid))
        shared["pos_embed"] = _shared_positions(stem, own, subnet.patch_size)
    for patch_size, cells in stem.grids.items():
        resampled = {
            "patch_embed.proj.weight": resample_patch_embed(kernel, [patch_size] * 2),
            "pos_embed": resample_abs_pos_embed(positions, list(cells), list(grid)),
        }
        values = weights | resampled | shared
        for name, place in stem.places(patch_size, subnet.embed_dim, side).items():
            put(values[name], *place)


def _shared_kernel(stem: ElasticStem, kernel: Tensor) -> Tensor:
    """The kernel (E, C, p, p) at the size of the largest patches, such that the stem's resampling gives it back."""
    size, resample = kernel.shape[-1], stem.resample
    assert resample is not None
    largest = resample.orig_size[0]
    if largest == size:
        return kernel

    def resampled(pixels: Tensor) -> Tensor:
        smaller: Tensor = resample(pixels.view(-1, 1, largest, largest), (size, size))
        return smaller.flatten(1)

    return _preimage(resampled, largest**2, kernel.flatten(2)).view(*kernel.shape[:2], largest, largest)


def _shared_positions(stem: ElasticStem, positions: Tensor, patch_size: int) -> Tensor:
    """The positions (1, 1 + patches, E) on the finest grid, such that the stem's resampling gives them back."""
    coarse, fine = list(stem.grids[patch_size]), list(stem.grid)
    if coarse == fine:
        return positions

    def resampled(places: Tensor) -> Tensor:
        fewer: Tensor = resample_abs_pos_embed(places.T[None], coarse, fine, num_prefix_tokens=0)
        return fewer[0].T

    on_fine = _preimage(resampled, fine[0] * fine[1], positions[:, 1:].transpose(1, 2))
    return torch.cat([positions[:, :1], on_fine.transpose(1, 2)], dim=1)


def _preimage(resample: Callable[[Tensor], Tensor], size: int, wanted: Tensor) -> Tensor:
    """The smallest (..., size) that the linear ``resample`` (N, size) -> (N, fewer) maps to ``wanted`` (..., fewer).

    Upsampling would be no inverse of the resampling: the subnet would not start equal to its checkpoint.
    """
    matrix = resample(torch.eye(size)).double()
    smallest: Tensor = wanted.double() @ torch.linalg.pinv(matrix)
    return smallest.float()
