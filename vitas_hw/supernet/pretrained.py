"""A supernet that starts from a pretrained vision transformer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.models import adapt_input_conv
from torch import Tensor

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.elastic import ElasticAttention, ElasticBlock, ElasticStem, Weights
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.sharing import put
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.supernet.timm_models import (
    HEAD,
    SUFFIXES,
    download,
    has_weights,
    known_model,
    read_plain,
    subnet_of_timm,
)
from vitas_hw.supernet.weights_file import header, load_model

Grid = tuple[int, int]
_KERNEL = "patch_embed.proj.weight"
_RGB = 3  # the channels that timm adapts a projection from
_USUAL_HEAD_DIM = 64  # of every ViT and DeiT from tiny to large


@dataclass(frozen=True)
class Filled:
    """What came of a checkpoint.

    Args:
        subnet: of the space; on the first side of the sharing scheme it computes what the checkpoint does.
        fresh: what has no weights from the checkpoint, in words; empty if nothing.
    """

    subnet: Subnet
    fresh: tuple[str, ...]


def fill_from_pretrained(supernet: Supernet, source: str) -> Filled:
    """Write a checkpoint's weights into the supernet, so that the subnet of its shape starts equal to it.

    Of a bilateral supernet that is the left side. Deeper blocks and wider channels stay fresh, and so does a classifier
    of another number of classes; positions of another grid and input channels are adapted as timm does. The private
    patch projections, class tokens, positions, q and k of other patch sizes and head counts get the checkpoint's too.

    Args:
        supernet: changed in place.
        source: a model that timm knows by name, whose weights it downloads; a file of weights (safetensors, or a torch
            file that holds nothing else); or ``NAME:FILE``, the weights of a file for a model that timm knows by name.
            Weights alone do not tell the number of heads: a file alone must be one of vitas-hw, or the space's
            ``head_dim`` 64, which the checkpoint's then is taken to be.

    Raises:
        InputError: an unknown name, a model of another kind, or of a shape that is not in the space.
        FileError: a file is missing or broken, or holds more than weights.
        VitasError: the download failed.
    """
    space = supernet.space
    given, weights = _checkpoint(source, space)
    subnet = _member(space, given, source)
    if given.in_chans != space.in_chans:
        weights = weights | {_KERNEL: adapt_input_conv(space.in_chans, weights[_KERNEL])}
    classes = len(weights["head.bias"]) if "head.bias" in weights else 0
    if classes != space.num_classes:
        weights = {name: weight for name, weight in weights.items() if name not in HEAD}
    _fill(supernet, weights, subnet, _cells(given))
    return Filled(subnet, _fresh(space, subnet, classes))


def _checkpoint(source: str, space: SearchSpace) -> tuple[Subnet, Weights]:
    """Weights under timm's names, and the plain model they are of; without a classifier its ``num_classes`` is 1."""
    name, colon, file = source.partition(":")
    if not source.endswith(SUFFIXES):
        name, file = source, ""
    elif not colon or not known_model(name) or Path(source).is_file():
        return _from_file(Path(source), space)
    outline = subnet_of_timm(name, least_classes=1)
    if not file:
        _member(space, outline, source)  # a download of what does not fit would be for nothing
        if not has_weights(name):
            hint = f"Give them as a file: `init={name}:FILE`."
            raise InputError(f"timm knows {name}, but has no weights of it.", hint)
        return outline, {key: weight.float() for key, weight in download(name).state_dict().items()}
    weights = read_plain(Path(file))
    heads = [block.num_heads for block in outline.blocks]
    if _depth(weights) != len(heads):
        heads = [1] * _depth(weights)  # to say what it is instead
    given = _described(weights, heads, _grid(weights, _cells(outline), space, file), file)
    ours, theirs = ((one.patch_size, one.embed_dim, one.blocks) for one in (given, outline))
    if ours != theirs:
        raise InputError(f"{file} is no checkpoint of {name}: it holds {_words(given)}, not {_words(outline)}.")
    return given, weights


def _from_file(path: Path, space: SearchSpace) -> tuple[Subnet, Weights]:
    if not path.is_file():
        raise FileError(f"There is no file {path}.", "Check the path, and of NAME:FILE the name, which timm must know.")
    kind = header(path, "the weights").get("kind") if path.suffix == ".safetensors" else None
    if kind == "supernet":
        raise InputError(f"{path} holds a supernet, and a supernet starts from one plain model.")
    if kind == "subnet":
        model, subnet = load_model(path)
        return subnet, model.state_dict()
    weights = read_plain(path)
    if space.head_dim != _USUAL_HEAD_DIM:
        raise InputError(
            f"{path} holds weights without the number of heads.",
            f"Name the model they are of, as timm does: `init=NAME:{path}`, for example deit_tiny_patch16_224:{path}.",
        )
    attn = [len(weights[f"blocks.{index}.attn.proj.weight"].T) for index in range(_depth(weights))]
    heads = [max(width // _USUAL_HEAD_DIM, 1) for width in attn]
    return _described(weights, heads, _grid(weights, None, space, path), path), weights


def _described(weights: Weights, heads: Sequence[int], grid: Grid, source: object) -> Subnet:
    """The plain model that the weights are of. Raises InputError where their shapes make none."""
    kernel, blocks = weights[_KERNEL].shape, []
    for index, count in enumerate(heads):
        attn, mlp = (weights[f"blocks.{index}.{name}.weight"].shape[-1] for name in ("attn.proj", "mlp.fc2"))
        blocks.append(Block(count, max(attn // count, 1), mlp))
    size, patch = tuple(side * kernel[-1] for side in grid), kernel[-1]
    classes = len(weights["head.bias"]) if "head.bias" in weights else 1
    subnet = Subnet((size[0], size[1]), kernel[1], patch, weights["cls_token"].shape[-1], tuple(blocks), classes)
    with torch.device("meta"):
        expected = build_model(subnet).state_dict()
    for name, weight in weights.items():
        if weight.shape != expected[name].shape:
            shape, wanted = tuple(weight.shape), tuple(expected[name].shape)
            raise InputError(f"{source}: {name} has shape {shape}, and of {_words(subnet)} it would be {wanted}.")
    return subnet


def _depth(weights: Weights) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})


def _cells(subnet: Subnet) -> Grid:
    return subnet.image_size[0] // subnet.patch_size, subnet.image_size[1] // subnet.patch_size


def _grid(weights: Weights, usual: Grid | None, space: SearchSpace, source: object) -> Grid:
    """Rows and columns of the positions: the usual ones, a square, or those of the space's images."""
    patches, patch = weights["pos_embed"].shape[1] - 1, max(weights[_KERNEL].shape[-1], 1)
    side = math.isqrt(max(patches, 0))
    for grid in (usual or (0, 0), (side, side), (space.image_size[0] // patch, space.image_size[1] // patch)):
        if grid[0] * grid[1] == patches > 0:
            return grid
    raise InputError(f"{source}: {patches} positions besides the class token's make no square grid.")


def _member(space: SearchSpace, given: Subnet, source: str) -> Subnet:
    """The subnet of that shape in the space. Raises InputError naming the dimension that the space does not have."""

    def check(what: str, value: int, choices: Collection[int]) -> None:
        if value not in choices:
            raise InputError(
                f"{source}: {what} {value} is not among the choices of space {space.name!r}: "
                f"{', '.join(map(str, choices))}.",
                "Take a checkpoint of a shape in the space, or a space with that choice.",
            )

    check("patch_size", given.patch_size, space.patch_sizes)
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
    return replace(given, image_size=space.image_size, in_chans=space.in_chans, num_classes=space.num_classes)


def _words(subnet: Subnet) -> str:
    first = subnet.blocks[0]
    return (
        f"a model of {subnet.depth} blocks with patch_size {subnet.patch_size}, embed_dim {subnet.embed_dim}, "
        f"attn_dim {first.attn_dim} and mlp_dim {first.mlp_dim}"
    )


def _fresh(space: SearchSpace, subnet: Subnet, classes: int) -> tuple[str, ...]:
    fresh = []
    if classes != space.num_classes:
        fresh.append(f"the classifier ({classes} classes in the checkpoint, {space.num_classes} in the space)")
    if subnet.depth < space.depth[1]:
        fresh.append(f"the blocks from {subnet.depth} to {space.depth[1] - 1}")
    for what, width, most in (
        ("embedding", subnet.embed_dim, space.embed_dims[-1]),
        ("attention", min(block.attn_dim for block in subnet.blocks), space.attn_widths()[-1]),
        ("MLP", min(block.mlp_dim for block in subnet.blocks), space.mlp_widths[-1]),
    ):
        if width < most:
            fresh.append(f"{most - width} of {most} {what} channels")
    return tuple(fresh)


@torch.no_grad()
def _fill(supernet: Supernet, weights: Weights, subnet: Subnet, grid: Grid) -> None:
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
