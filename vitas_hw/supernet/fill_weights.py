"""A plain model's weights written into the supernet, where the subnet of its shape reads them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor, nn

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.elastic import SHARED, ElasticAttention, ElasticBlock, ElasticNorm, Weights
from vitas_hw.supernet.sharing import Channels, put, take
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
    side = supernet.sides[0]
    embed = supernet.embed.channels(subnet.embed_dim, side)
    _fill_stem(supernet.stem, weights, embed, subnet.patch_size, grid)
    for index, shape in enumerate(subnet.blocks):
        block = supernet.blocks[index]
        assert isinstance(block, ElasticBlock)
        _fill_block(block, _within(weights, f"blocks.{index}."), embed, shape, side)
    _fill_norm(supernet.norm, _within(weights, "norm."), embed)
    if "head.weight" in weights:
        put(supernet.head.weight, weights["head.weight"], columns=embed)
        put(supernet.head.bias, weights["head.bias"])


def _within(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def _fill_norm(norm: ElasticNorm, w: Weights, embed: Channels) -> None:
    put(norm.weight, w["weight"], embed)
    put(norm.bias, w["bias"], embed)


def _fill_block(block: ElasticBlock, w: Weights, embed: Channels, shape: Block, side: str) -> None:
    _fill_norm(block.norm1, _within(w, "norm1."), embed)
    _fill_attention(block.attn, _within(w, "attn."), embed, shape.attn_dim, side)
    _fill_norm(block.norm2, _within(w, "norm2."), embed)
    mlp, hidden = block.mlp, block.mlp.mlp.channels(shape.mlp_dim, side)
    put(mlp.fc1_weight, w["mlp.fc1.weight"], hidden, embed)
    put(mlp.fc1_bias, w["mlp.fc1.bias"], hidden)
    put(mlp.fc2_weight, w["mlp.fc2.weight"], embed, hidden)
    put(mlp.fc2_bias, w["mlp.fc2.bias"], embed)


def _fill_attention(attention: ElasticAttention, w: Weights, embed: Channels, width: int, side: str) -> None:
    (q, k, v), (q_bias, k_bias, v_bias) = w["qkv.weight"].chunk(3), w["qkv.bias"].chunk(3)
    channels = attention.attn.channels(width, side)
    put(attention.v_weight, v, channels, embed)
    put(attention.v_bias, v_bias, channels)
    put(attention.proj_weight, w["proj.weight"], embed, channels)
    put(attention.proj_bias, w["proj.bias"], embed)
    for owner, axis in attention.qk.items():
        # where a head count has one width only (head_dim is tied), its heads are filled as far as both have them
        rows = axis.channels(width if width in axis.widths else axis.most, side)
        _put_first(attention.q_weight[owner], q, rows, embed)
        _put_first(attention.k_weight[owner], k, rows, embed)
        _put_first(attention.q_bias[owner], q_bias, rows)
        _put_first(attention.k_bias[owner], k_bias, rows)


def _put_first(weight: Tensor, value: Tensor, rows: Channels, columns: Channels | None = None) -> None:
    """As many of ``rows`` as ``value`` has, and no more of ``value`` than there are rows."""
    whole = take(weight, rows, columns).clone()
    both = min(len(whole), len(value))
    whole[:both] = value[:both]
    put(weight, whole, rows, columns)


def _fill_stem(stem: ElasticStem, w: Weights, embed: Channels, patch_size: int, grid: Grid) -> None:
    kernel, positions = w["patch_embed.proj.weight"], w["pos_embed"]
    for owner, projection in stem.proj.items():
        assert isinstance(projection, nn.Conv2d)
        assert projection.bias is not None
        own = _shared_kernel(stem, kernel) if owner == SHARED else resample_patch_embed(kernel, [int(owner)] * 2)
        put(projection.weight, own, embed)
        put(projection.bias, w["patch_embed.proj.bias"], embed)
    for token in stem.cls_token.values():
        put(token, w["cls_token"], columns=embed)
    for owner, parameter in stem.pos_embed.items():
        finer = owner == SHARED
        own = resample_abs_pos_embed(positions, list(stem.grids[patch_size if finer else int(owner)]), list(grid))
        put(parameter, _shared_positions(stem, own, patch_size) if finer else own, columns=embed)


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
