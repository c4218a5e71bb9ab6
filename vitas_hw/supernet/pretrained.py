"""A supernet that starts from a pretrained vision transformer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.models import adapt_input_conv
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.elastic import ElasticAttention, ElasticBlock, ElasticStem, Weights
from vitas_hw.supernet.fitted_classifier import features_of, fitted_classifier
from vitas_hw.supernet.importance import Batch, Importance, importance
from vitas_hw.supernet.original import KERNEL, Grid, Original, cells, load_original
from vitas_hw.supernet.permute import apart, permuted
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.sharing import Channels, put, take
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.supernet.timm_models import HEAD

_RGB = 3  # the channels that timm adapts a projection from
_SORTED = "ordinal"  # the scheme whose narrower subnets all have the first channels


@dataclass(frozen=True)
class Filled:
    """What came of a checkpoint.

    Args:
        subnet: of the space; on the first side of the sharing scheme it computes what the checkpoint does, but for what
            is unused.
        fresh: what has no weights from the checkpoint, in words; empty if nothing.
        unused: what of the checkpoint has no place in the supernet, or has been changed to have one, in words.
        sorted_by: what says which channels matter: so many images, or the size of the weights; empty if the sharing
            scheme needs no order.
    """

    subnet: Subnet
    fresh: tuple[str, ...]
    unused: tuple[str, ...]
    sorted_by: str


def fill_from_pretrained(
    supernet: Supernet, source: str | Original, batches: Iterable[Batch] = (), scores: Importance | None = None
) -> Filled:
    """Write a checkpoint's weights into the supernet, so that the subnet of its shape starts equal to it.

    With ordinal sharing channels are sorted first, so that narrower subnets keep those that matter most (see
    ``importance``); which blocks a shallower subnet keeps stands in the space. Deeper blocks, more heads and wider MLPs
    than the checkpoint's start without any effect, so that subnets that have more of them compute the same too. The
    other channels of a wider embedding start without effect on others, but change the norms. A classifier of another
    number of classes stays fresh. Positions of another grid, another patch size and other input channels are adapted
    as timm does. The private patch projections, class tokens, positions, q and k of other patch sizes and head counts
    get the checkpoint's too. Of a bilateral supernet all this is true of the left side.

    Args:
        supernet: changed in place.
        source: the model, or what ``load_original`` knows it by.
        batches: training images (B, in_chans, height, width), preprocessed for the space, with labels (B,): what
            matters is scored on them; without any, by the weights alone.
        scores: of the model, if it has been scored already.

    Raises:
        InputError: an unknown name, a model of another kind, or of a shape that is not in the space.
        FileError: a file is missing or broken, or holds more than weights.
        VitasError: the download failed.
    """
    space = supernet.space
    original = source if isinstance(source, Original) else original_for(space, source)
    subnet = _member(space, original.subnet, "The model" if isinstance(source, Original) else source)
    weights, sorted_by = _adapted(original, subnet), ""
    if supernet.sharing == _SORTED:
        scores = scores or score(original, space, batches)
        weights = permuted(weights, subnet, scores.order)
        sorted_by = f"{scores.images} images" if scores.images else "the size of the weights"
    _fill(supernet, weights, subnet, cells(original.subnet))
    return Filled(subnet, _fresh(space, original, subnet), _unused(space, original, subnet), sorted_by)


def original_for(space: SearchSpace, source: str) -> Original:
    """The model of ``load_original``, and raises as that; a name that does not fit the space is not downloaded."""
    return load_original(source, space, fits=lambda outline: _member(space, outline, source))


def plain_model(original: Original, space: SearchSpace) -> tuple[VisionTransformer, Subnet]:
    """The model on the space's images, in evaluation mode, and its shape; a classifier of other classes stays fresh.

    Raises InputError if its shape is not in the space.
    """
    subnet = _member(space, original.subnet, "The model")
    weights = _adapted(original, subnet)
    positions = resample_abs_pos_embed(weights["pos_embed"], list(cells(subnet)), list(cells(original.subnet)))
    model = build_model(subnet, seed=0).eval()
    model.load_state_dict(weights | {"pos_embed": positions}, strict=False)
    return model, subnet


def with_classifier(original: Original, space: SearchSpace, batches: Iterable[Batch]) -> Original:
    """The model with a classifier of the space's classes: its own, or one fitted to images, see ``fitted_classifier``.

    Args:
        original: the model.
        space: of its shape.
        batches: training images (B, in_chans, height, width), preprocessed for the space, with labels (B,); read only
            if there is something to fit.
    """
    if original.classes == space.num_classes:
        return original
    model, _ = plain_model(original, space)
    found = [(features_of(model, images), labels) for images, labels in batches]
    features, labels = (torch.cat(part) for part in zip(*found, strict=True))
    weight, bias = fitted_classifier(features, labels, space.num_classes)
    had = f"its classifier of {original.classes} classes" if original.classes else "no classifier in it"
    return Original(
        replace(original.subnet, num_classes=space.num_classes),
        original.weights | {"head.weight": weight, "head.bias": bias},
        (*original.unused, f"{had} (one of {space.num_classes} is fitted to {len(labels)} images)"),
    )


def score(original: Original, space: SearchSpace, batches: Iterable[Batch] = ()) -> Importance:
    """How much channels, heads and blocks of a model matter on images of the space's size and classes.

    Raises InputError if its shape is not in the space.
    """
    model, subnet = plain_model(original, space)
    weights = model.state_dict()
    if original.classes != space.num_classes:
        weights = {name: weight for name, weight in weights.items() if name not in HEAD}
    return importance(weights, subnet, batches)


def _adapted(original: Original, subnet: Subnet) -> Weights:
    """Its weights in the subnet's shapes, but for positions, which stay on their grid, and a classifier of others."""
    weights, kernel = dict(original.weights), original.weights[KERNEL]
    if original.subnet.in_chans != subnet.in_chans:
        kernel = adapt_input_conv(subnet.in_chans, kernel)
    weights[KERNEL] = resample_patch_embed(kernel, [subnet.patch_size] * 2)
    if original.classes != subnet.num_classes:
        return {name: weight for name, weight in weights.items() if name not in HEAD}
    return weights


def _member(space: SearchSpace, given: Subnet, source: str) -> Subnet:
    """The subnet of that shape in the space, of the nearest patch size.

    Raises InputError naming the dimension that the space does not have.
    """

    def check(what: str, value: int, choices: Collection[int]) -> None:
        if value not in choices:
            raise InputError(
                f"{source}: {what} {value} is not among the choices of space {space.name!r}: "
                f"{', '.join(map(str, choices))}.",
                "Take a checkpoint of a shape in the space, or a space with that choice.",
            )

    check("embed_dim", given.embed_dim, space.embed_dims)
    check("depth", given.depth, range(space.depth[0], space.depth[1] + 1))
    mlp_dims = space.mlp_dims or tuple(round(ratio * given.embed_dim) for ratio in space.mlp_ratios)
    for index, block in enumerate(given.blocks):
        check(f"num_heads (block {index})", block.num_heads, space.num_heads)
        check(f"attn_dim (block {index})", block.attn_dim, space.attn_widths(block.num_heads))
        check(f"mlp_dim (block {index})", block.mlp_dim, mlp_dims)
    if given.in_chans not in (space.in_chans, _RGB):
        raise InputError(
            f"{source}: in_chans {given.in_chans} cannot be adapted to the {space.in_chans} of space {space.name!r}; "
            f"{_RGB} can."
        )
    return replace(
        given,
        image_size=space.image_size,
        in_chans=space.in_chans,
        patch_size=min(space.patch_sizes, key=lambda size: abs(math.log(size / given.patch_size))),
        num_classes=space.num_classes,
    )


def _fresh(space: SearchSpace, original: Original, subnet: Subnet) -> tuple[str, ...]:
    fresh = []
    if original.classes != space.num_classes:
        fresh.append(f"the classifier ({original.classes} classes in the checkpoint, {space.num_classes} in the space)")
    if subnet.depth < space.depth[1]:
        rest = sorted(set(range(space.depth[1])) - set(space.kept(subnet.depth)))
        fresh.append(f"the blocks {', '.join(map(str, rest))}")
    for what, width, most in (
        ("embedding", subnet.embed_dim, space.embed_dims[-1]),
        ("attention", min(block.attn_dim for block in subnet.blocks), space.attn_widths()[-1]),
        ("MLP", min(block.mlp_dim for block in subnet.blocks), space.mlp_widths[-1]),
    ):
        if width < most:
            fresh.append(f"{most - width} of {most} {what} channels")
    return tuple(fresh)


def _unused(space: SearchSpace, original: Original, subnet: Subnet) -> tuple[str, ...]:
    given, unused = original.subnet, list(original.unused)
    if original.classes not in (0, space.num_classes):
        unused.append(f"its classifier of {original.classes} classes")
    if given.patch_size != subnet.patch_size:
        unused.append(f"its patch size {given.patch_size} (resampled to {subnet.patch_size})")
    if cells(given) != cells(subnet):
        grids = ["x".join(map(str, cells(one))) for one in (given, subnet)]
        unused.append(f"its {grids[0]} positions (resampled to {grids[1]})")
    if given.in_chans != subnet.in_chans:
        unused.append(f"its {given.in_chans} input channels (summed up for {subnet.in_chans})")
    return tuple(unused)


@torch.no_grad()
def _fill(supernet: Supernet, weights: Weights, subnet: Subnet, grid: Grid) -> None:
    """Make ``subnet`` compute what the plain model of ``weights`` does, on the first side of the sharing scheme.

    What the model has no weights for has no effect, see ``_silence``, except a classifier where ``weights`` has none.
    Patch sizes and head counts other than the model's get its weights as well, resampled or cut, if they have private
    ones.

    Args:
        supernet: changed in place.
        weights: under timm's names, of the subnet's shapes except that ``pos_embed`` is of ``grid`` and ``head.weight``
            and ``head.bias`` may lack.
        subnet: of the supernet's space.
        grid: rows and columns of patches whose positions ``weights`` has.
    """
    side, layers, own = supernet.sides[0], supernet.space.kept(subnet.depth), apart(weights)
    _silence(supernet, subnet, side, classifier="head.weight" in weights)
    _fill_stem(supernet.stem, weights, subnet, grid, side)
    for index, (layer, shape) in enumerate(zip(layers, subnet.blocks, strict=True)):
        block = supernet.blocks[layer]
        assert isinstance(block, ElasticBlock)
        _fill_heads(block.attn, own, f"blocks.{index}.attn", shape, subnet.embed_dim, side)
    for name, place in supernet.places(subnet, side, layers).items():
        if name in own:
            put(own[name], *place)


def _silence(supernet: Supernet, subnet: Subnet, side: str, *, classifier: bool) -> None:
    """Zero what writes to the tokens, and what reads embedding channels that ``subnet`` does not have.

    What it has is written afterwards. The rest learns from the first step on: of a head or an MLP channel only what
    writes is zero, and a zero channel of the embedding is none any more behind a norm.
    """
    for parameters in (supernet.stem.cls_token, supernet.stem.pos_embed, supernet.stem.proj):
        for weight in parameters.parameters():
            weight.zero_()
    own = torch.zeros(supernet.embed.most, dtype=torch.bool)
    own[_numbers(supernet.embed.channels(subnet.embed_dim, side), supernet.embed.most)] = True
    for block in supernet.blocks:
        assert isinstance(block, ElasticBlock)
        attn, mlp = block.attn, block.mlp
        for weight in (attn.proj_weight, attn.proj_bias, mlp.fc2_weight, mlp.fc2_bias):
            weight.zero_()
        for weight in (*attn.q_weight.values(), *attn.k_weight.values(), attn.v_weight, mlp.fc1_weight):
            weight[:, ~own] = 0.0
    if classifier:
        supernet.head.weight[:, ~own] = 0.0


def _fill_heads(attention: ElasticAttention, own: Weights, name: str, shape: Block, embed_dim: int, side: str) -> None:
    """The private q and k of every number of heads: those of the heads whose v it shares, as far as the model has them.

    A number of heads is as wide as the model's block, or, where it has one width only (head_dim is tied), that wide.

    Args:
        attention: changed in place.
        own: the model's weights, q, k and v apart.
        name: of the attention among them.
        shape: of the model's block.
        embed_dim: of the model.
        side: of the sharing scheme.
    """
    held = torch.full((attention.attn.most,), -1)  # by the shared channels of v: the model's channel there
    held[_numbers(attention.attn.channels(shape.attn_dim, side), attention.attn.most)] = torch.arange(shape.attn_dim)
    columns = _numbers(attention.embed.channels(embed_dim, side), attention.embed.most)
    for owner, axis in attention.qk.items():
        width = shape.attn_dim if shape.attn_dim in axis.widths else axis.most
        rows = held[_numbers(attention.attn.channels(width, side), attention.attn.most)]
        places = _numbers(axis.channels(width, side), axis.most)[rows >= 0]
        for part, weight, bias in (
            ("q", attention.q_weight[owner], attention.q_bias[owner]),
            ("k", attention.k_weight[owner], attention.k_bias[owner]),
        ):
            weight[places[:, None], columns] = own[f"{name}.{part}.weight"][rows[rows >= 0]].to(weight)
            bias[places] = own[f"{name}.{part}.bias"][rows[rows >= 0]].to(bias)


def _numbers(channels: Channels, most: int) -> Tensor:
    """Which of ``most`` channels these are."""
    return take(torch.arange(most), channels)


def _fill_stem(stem: ElasticStem, weights: Weights, subnet: Subnet, grid: Grid, side: str) -> None:
    kernel, positions = weights["patch_embed.proj.weight"], weights["pos_embed"]
    shared = {}
    if "patch_embed" not in stem.private:
        shared["patch_embed.proj.weight"] = _shared_kernel(stem, kernel)
    if "pos_embed" not in stem.private:
        own = resample_abs_pos_embed(positions, list(stem.grids[subnet.patch_size]), list(grid))
        shared["pos_embed"] = _shared_positions(stem, own, subnet.patch_size)
    for patch_size, own_grid in stem.grids.items():
        resampled = {
            "patch_embed.proj.weight": resample_patch_embed(kernel, [patch_size] * 2),
            "pos_embed": resample_abs_pos_embed(positions, list(own_grid), list(grid)),
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
