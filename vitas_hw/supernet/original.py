"""The pretrained model that a supernet starts from: found by name, file or folder, as a plain model's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.reading import parse_json, read_text
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet, positive_int
from vitas_hw.supernet.elastic import LAYER_NORM_EPSILON, Weights
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.plain_weights import plain_weights
from vitas_hw.supernet.timm_models import (
    SUFFIXES,
    download,
    has_weights,
    known_model,
    read_plain,
    subnet_of_timm,
)
from vitas_hw.supernet.weights_file import header, load_model

Grid = tuple[int, int]
KERNEL = "patch_embed.proj.weight"
_USUAL_HEAD_DIM = 64  # of every ViT and DeiT from tiny to large
_HUGGING_FACE = ("vit", "deit")  # model types
_USUAL = {  # numbers of a configuration of Hugging Face's, which may leave them out
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "patch_size": 16,
    "num_channels": 3,
}
_USUAL_SIZE = 224
_TOO_MANY = 1025  # blocks, as a Subnet finds
_MOST_BYTES = 2**22  # of a config.json: that of 21,843 classes has their names


@dataclass(frozen=True)
class Original:
    """A pretrained model.

    Args:
        subnet: its shape; its ``num_classes`` is 1 if it has no classifier.
        weights: under timm's names; without a classifier if it has none.
        unused: parts of the checkpoint that a plain model has no place for, in words.
    """

    subnet: Subnet
    weights: Weights
    unused: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Outputs of its classifier; 0 if it has none."""
        return len(self.weights["head.bias"]) if "head.bias" in self.weights else 0


def load_original(
    source: str, space: SearchSpace | None = None, *, fits: Callable[[Subnet], object] | None = None
) -> Original:
    """The pretrained model that ``source`` names. Nothing that comes with it is run.

    Args:
        source: a model that timm knows by name, whose weights it downloads; a file of weights (safetensors, or a torch
            file that holds nothing else); ``NAME:FILE``, the weights of a file for a model that timm knows by name; or
            a folder of Hugging Face's with ``config.json`` and ``model.safetensors``, of a ViT or DeiT or of timm's.
            Weights alone do not tell the number of heads: a file alone must be one of vitas-hw, or the space's
            ``head_dim`` 64, which the checkpoint's then is taken to be.
        space: that it is to be used in, if it is known.
        fits: called with the shape before anything is downloaded; raises if it is of no use.

    Raises:
        InputError: an unknown name, or a model of another kind.
        FileError: a file is missing or broken, or holds more than weights.
        VitasError: the download failed.
    """
    name, colon, file = source.partition(":")
    if Path(source).is_dir() and not known_model(source):
        return _from_folder(Path(source))
    if not source.endswith(SUFFIXES):
        name, file = source, ""
    elif not colon or not known_model(name) or Path(source).is_file():
        return _from_file(Path(source), space)
    outline = subnet_of_timm(name, least_classes=1, converted=True)
    if file:
        return _like(outline, *read_plain(Path(file)), space, file, name)
    if fits is not None:
        fits(outline)
    if not has_weights(name):
        hint = f"Give them as a file: `init={name}:FILE`."
        raise InputError(f"timm knows {name}, but has no weights of it.", hint)
    downloaded = {key: weight.float() for key, weight in download(name).state_dict().items()}
    return _like(outline, *plain_weights(downloaded), space, name, name)


def _like(
    outline: Subnet, weights: Weights, unused: tuple[str, ...], space: SearchSpace | None, source: object, name: str
) -> Original:
    """The model of these weights. Raises InputError if they are not of the shape of ``outline``, the model ``name``."""
    heads = [block.num_heads for block in outline.blocks]
    if _depth(weights) != len(heads):
        heads = [1] * _depth(weights)  # to say what it is instead
    original = _described(weights, unused, heads, cells(outline), space, source)
    ours, theirs = ((one.patch_size, one.embed_dim, one.blocks) for one in (original.subnet, outline))
    if ours != theirs:
        raise InputError(
            f"{source} is no checkpoint of {name}: it holds {_words(original.subnet)}, not {_words(outline)}."
        )
    return original


def _from_file(path: Path, space: SearchSpace | None) -> Original:
    if not path.is_file():
        raise FileError(f"There is no file {path}.", "Check the path, and of NAME:FILE the name, which timm must know.")
    kind = header(path, "the weights").get("kind") if path.suffix == ".safetensors" else None
    if kind == "supernet":
        raise InputError(f"{path} holds a supernet, and a supernet starts from one plain model.")
    if kind == "subnet":
        model, subnet = load_model(path)
        return Original(subnet, model.state_dict())
    weights, unused = read_plain(path)
    if space is None or space.head_dim != _USUAL_HEAD_DIM:
        raise InputError(
            f"{path} holds weights without the number of heads.",
            f"Name the model they are of, as timm does: `init=NAME:{path}`, for example deit_tiny_patch16_224:{path}.",
        )
    attn = [len(weights[f"blocks.{index}.attn.proj.weight"].T) for index in range(_depth(weights))]
    heads = [max(width // _USUAL_HEAD_DIM, 1) for width in attn]
    return _described(weights, unused, heads, None, space, path)


def _from_folder(folder: Path) -> Original:
    path = folder / "config.json"
    with refusing(path, "describes no model"):
        config = from_json(dict[str, Any], parse_json(read_text(path, "the model's configuration", most=_MOST_BYTES)))
    outline = _outline(config, path)
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    file = next((file for file in files if file.exists()), None)
    if file is None:
        raise FileError(
            f"{folder} has no weights in one file: neither model.safetensors nor pytorch_model.bin.",
            "Save the model with save_pretrained, in one shard.",
        )
    return _like(outline, *read_plain(file), None, file, f"the model that {path} describes")


def _outline(config: dict[str, Any], path: Path) -> Subnet:
    """The plain model that a ``config.json`` describes, of one class. Raises FileError if it describes none."""
    with refusing(path, "describes no plain vision transformer"):
        if "vitas_hw" in config:
            return replace(Subnet.from_dict(config["vitas_hw"]["subnet"]), num_classes=1)
        if "architecture" in config:
            return _outline_of_timm(config)
        kind = config.get("model_type")
        if kind not in _HUGGING_FACE:
            raise ValueError(f"its model_type is {shown(kind)}, not {' or '.join(_HUGGING_FACE)}")
        if (act := config.get("hidden_act", "gelu")) != "gelu":
            raise ValueError(f"its hidden_act is {shown(act)}, not 'gelu'")
        if not 0 <= (epsilon := from_json(float, config.get("layer_norm_eps", 1e-12))) <= LAYER_NORM_EPSILON:
            raise ValueError(f"its layer_norm_eps is {epsilon:g}, above {LAYER_NORM_EPSILON:g}")
        number = {key: positive_int(config.get(key, usual), key) for key, usual in _USUAL.items()}
        size, heads = config.get("image_size", _USUAL_SIZE), number["num_attention_heads"]
        height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
        block = Block(heads, number["hidden_size"] // heads, number["intermediate_size"])
        blocks = (block,) * min(number["num_hidden_layers"], _TOO_MANY)
        return Subnet((height, width), number["num_channels"], number["patch_size"], number["hidden_size"], blocks, 1)


def _outline_of_timm(config: dict[str, Any]) -> Subnet:
    """Of a folder that timm writes: an architecture by name, and the numbers that differ from it."""
    outline = subnet_of_timm(str(config["architecture"]), least_classes=1, converted=True)
    given = from_json(dict[str, Any], config.get("model_args", {}), "model_args")
    known = {"img_size", "in_chans", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio"}
    if odd := sorted(given.keys() - known):
        raise ValueError(f"its model_args have {shown(odd[0])}, which is not read")
    first = outline.blocks[0]
    size = given.get("img_size", outline.image_size)
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    embed = positive_int(given.get("embed_dim", outline.embed_dim), "embed_dim")
    heads = positive_int(given.get("num_heads", first.num_heads), "num_heads")
    ratio = from_json(float, given.get("mlp_ratio", first.mlp_dim / outline.embed_dim), "mlp_ratio")
    depth = positive_int(given.get("depth", outline.depth), "depth")
    return replace(
        outline,
        image_size=(height, width),
        in_chans=given.get("in_chans", outline.in_chans),
        patch_size=given.get("patch_size", outline.patch_size),
        embed_dim=embed,
        blocks=(Block(heads, embed // heads, int(embed * ratio)),) * min(depth, _TOO_MANY),
        num_classes=1,
    )


def _described(
    weights: Weights,
    unused: tuple[str, ...],
    heads: Sequence[int],
    usual: Grid | None,
    space: SearchSpace | None,
    source: object,
) -> Original:
    """The plain model that the weights are of. Raises InputError where their shapes make none."""
    weights, grid = _with_class_position(weights, usual, space, source)
    kernel, blocks = weights[KERNEL].shape, []
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
    return Original(subnet, weights, unused)


def _with_class_position(
    weights: Weights, usual: Grid | None, space: SearchSpace | None, source: object
) -> tuple[Weights, Grid]:
    """Weights whose class token has a position, zero if it had none, and rows and columns of the others.

    These are the usual ones, a square, or those of the space's images.
    """
    positions, patch = weights["pos_embed"], max(weights[KERNEL].shape[-1], 1)
    count, width = positions.shape[1:]
    for prefix in (1, 0):
        side = math.isqrt(max(count - prefix, 0))
        grids = [usual or (0, 0), (side, side)]
        if space is not None:
            grids.append((space.image_size[0] // patch, space.image_size[1] // patch))
        for grid in grids:
            if grid[0] * grid[1] == count - prefix > 0:
                none = [] if prefix else [positions.new_zeros(1, 1, width)]
                return weights | {"pos_embed": torch.cat([*none, positions], dim=1)}, grid
    raise InputError(f"{source}: {count - 1} positions besides the class token's make no square grid.")


def _depth(weights: Weights) -> int:
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})


def cells(subnet: Subnet) -> Grid:
    """Rows and columns of its patches."""
    return subnet.image_size[0] // subnet.patch_size, subnet.image_size[1] // subnet.patch_size


def _words(subnet: Subnet) -> str:
    first = subnet.blocks[0]
    return (
        f"a model of {subnet.depth} blocks with patch_size {subnet.patch_size}, embed_dim {subnet.embed_dim}, "
        f"attn_dim {first.attn_dim} and mlp_dim {first.mlp_dim}"
    )
