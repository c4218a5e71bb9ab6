"""Vision transformers of others: timm's by name, and files, of which nothing is run; refused if of another kind."""

from __future__ import annotations

import argparse
import difflib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from timm.layers import Attention, Mlp, PatchEmbed
from timm.models import clean_state_dict, is_model, split_model_name_tag
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block as TimmBlock
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitas_hw.core.errors import FileError, InputError, VitasError, one_of
from vitas_hw.core.reading import check_regular, reason
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.elastic import LAYER_NORM_EPSILON, Weights
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.plain_weights import plain_weights
from vitas_hw.supernet.weights_file import finite

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".pth.tar")
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")  # timm's order: averaged weights first
_EXTRA = {  # parts of names that only other architectures have
    "dist_token": "a distillation token",
    "head_dist": "a distillation classifier",
    "reg_token": "register tokens",
    "rel_pos": "relative positions",
    ".ls": "layer scale",
    "gamma_": "layer scale",
    "register_tokens": "register tokens",
    "q_norm": "normalised q and k",
    "norm_pre": "a norm before the blocks",
    "patch_embed.norm": "a norm after the patch projection",
    "fc_norm": "a pool over all tokens",
    "attn_pool": "a pool by attention",
}
_WORDS = {"cls_token": "class token", "pos_embed": "learned absolute positions"}
HEAD = {"head.weight", "head.bias"}


def known_model(name: str) -> bool:
    """Whether timm knows a model of that name, with or without a tag such as ``.fb_in1k``."""
    return not set(name) & set(":/\\") and bool(is_model(split_model_name_tag(name)[0]))


def subnet_of_timm(name: str, *, least_classes: int = 0, converted: bool = False) -> Subnet:
    """What timm's model of that name is.

    Args:
        name: of the model.
        least_classes: its classes if it has no classifier.
        converted: also a model that is a plain one only after ``plain_weights``.

    Raises InputError if timm knows no such name, or the model does not compute what the plain one of a subnet does.
    """
    arch, tag = split_model_name_tag(name)
    if not known_model(name):
        near = difflib.get_close_matches(arch, timm.list_models(), n=3)
        raise InputError(
            f"{name} is neither a model that timm knows nor a file that ends in {', '.join(SUFFIXES)}.",
            f"Names like it: {', '.join(near)}." if near else "See timm.list_models() for the names.",
        )
    tags = _tags(arch)
    if tag and tag not in tags:
        raise one_of(tag, tags, f"weights of {arch}")
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    if not isinstance(model, VisionTransformer):
        raise _no_plain(name, [f"it is timm's {type(model).__name__}"])
    weights = plain_weights(model.state_dict())[0] if converted else model.state_dict()
    if odd := _odd_parts(model, converted=converted) + _odd_names(weights):
        raise _no_plain(name, odd)
    return _subnet(model, max(model.num_classes, least_classes))


def subnet_of_model(model: nn.Module) -> Subnet:
    """What a plain model is. Raises InputError, with the reasons, if it does not compute what that of a subnet does."""
    name = "the model"
    if not isinstance(model, VisionTransformer):
        raise _no_plain(name, [f"it is a {type(model).__name__}"])
    if odd := _odd_parts(model, converted=False) + _odd_names(model.state_dict()):
        raise _no_plain(name, odd)
    return _subnet(model, model.num_classes)


def _subnet(model: VisionTransformer, classes: int) -> Subnet:
    size = model.patch_embed.img_size
    blocks = tuple(Block(b.attn.num_heads, b.attn.head_dim, b.mlp.fc1.out_features) for b in model.blocks)
    channels, patch = model.patch_embed.proj.in_channels, model.patch_embed.patch_size[0]
    return Subnet((size[0], size[1]), channels, patch, model.embed_dim, blocks, classes)


def download(name: str, setting: str = "init") -> nn.Module:
    """Timm's model of that name, pretrained; ``setting`` is what its file could be given to.

    Raises VitasError if its weights cannot be had now.
    """
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever timm, the hub's client and its HTTP client raise, by version
        raise VitasError(
            f"The weights of {name} could not be downloaded: {reason(error)}.",
            f"Connect to huggingface.co, or bring the file along and give `{setting}={name}:FILE`.",
        ) from error
    return model


def has_weights(name: str) -> bool:
    """Whether timm has pretrained weights of the model of that name."""
    return bool(_tags(split_model_name_tag(name)[0]))


def _tags(arch: str) -> list[str]:
    return [known.partition(".")[2] for known in timm.list_pretrained(f"{arch}.*")]


def read_weights(path: Path) -> Weights:
    """The state dict of a file, in float32, also under ``state_dict_ema``, ``model_ema``, ``state_dict`` or ``model``.

    Raises FileError if it is missing, holds anything that code would have to be run for, or no state dict.
    """
    size = check_regular(path, "the weights")
    try:
        data: Any = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{path} holds more than weights or is broken, and nothing in it was run.",
            "Save only the state dict, torch.save(model.state_dict(), FILE), or a safetensors file.",
        ) from error
    except FileError:
        raise
    except Exception as error:  # torch, pickle and zipfile raise many kinds
        raise FileError(f"{path} is no readable file of weights: {reason(error)}.") from error
    if isinstance(data, Mapping):
        data = next((data[key] for key in _NESTED if isinstance(data.get(key), Mapping)), data)
    if not (isinstance(data, Mapping) and data and all(isinstance(value, Tensor) for value in data.values())):
        raise FileError(f"{path} holds no state dict, neither outermost nor under {', '.join(_NESTED)}.")
    if any(weight.numel() > size for weight in data.values()):
        raise FileError(f"{path} holds a tensor that claims more numbers than the file has bytes.")
    try:
        return finite({str(name): weight.float() for name, weight in clean_state_dict(dict(data)).items()})
    except ValueError as error:
        raise FileError(f"{path} is no readable file of weights: {reason(error)}.") from error


def _unpickled(path: Path) -> Any:
    check_stored(path)
    with torch.serialization.safe_globals([argparse.Namespace]):  # the options that timm saves beside the weights
        return torch.load(path, map_location="cpu", weights_only=True)


def check_stored(path: Path) -> None:
    """Raise FileError if a file of torch's is packed: torch packs none, and a small one could unpack to terabytes."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise FileError(f"{path} is compressed, which torch.save never does, so it was not read.")


def read_plain(path: Path) -> tuple[Weights, tuple[str, ...]]:
    """The weights of a file as ``plain_weights`` makes them, and what it leaves out.

    Raises as ``read_weights`` does, and InputError, with the reasons, if they are not those of a plain model.
    """
    weights, left_out = plain_weights(read_weights(path))
    if odd := _odd_names(weights):
        raise _no_plain(str(path), odd)
    return weights, left_out


def _no_plain(source: str, reasons: list[str]) -> InputError:
    return InputError(
        f"{source} is no plain vision transformer: {', '.join(dict.fromkeys(reasons))}.",
        "A supernet starts from one with class token, learned positions and pre-norm blocks, such as "
        "deit_tiny_patch16_224.",
    )


def _odd_names(weights: Weights) -> list[str]:
    indices = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
    if indices != {str(index) for index in range(len(indices))} or not indices:
        return [f"its blocks are not numbered from 0 ({', '.join(list(weights)[:3])}, ...)"]
    with torch.device("meta"):
        one = build_model(Subnet((1, 1), 1, 1, 1, (Block(1, 1, 1),), 1)).state_dict()
    ranks = {name.replace(".0.", f".{index}."): weight.ndim for name, weight in one.items() for index in indices}
    lacking = ranks.keys() - weights.keys() - HEAD
    odd = [f"it has no {_WORDS.get(name, name)}" for name in sorted(lacking, key=lambda n: (n not in _WORDS, n))[:4]]
    if len(HEAD & weights.keys()) == 1:
        odd.append("its classifier lacks weight or bias")
    for name in sorted(weights.keys() - ranks.keys()):
        odd.append("it has " + next((what for part, what in _EXTRA.items() if part in name), name))
    found = {name: weights[name].ndim for name in sorted(ranks.keys() & weights.keys())}
    odd += [f"its {name} has {rank} dimensions" for name, rank in found.items() if rank != ranks[name]]
    return list(dict.fromkeys(odd))[:6]


def _odd_parts(model: VisionTransformer, *, converted: bool) -> list[str]:
    """What the names of the weights do not show."""
    kinds = (VisionTransformer, VisionTransformerDistilled) if converted else (VisionTransformer,)
    wanted = {
        f"it is timm's {type(model).__name__}": type(model) in kinds,
        f"it pools by {model.global_pool!r}, not by the class token": model.global_pool == "token",
        "its class token has no position": converted or not model.no_embed_class,
        "its patch projection is another": type(model.patch_embed) is PatchEmbed,
        "its blocks are others": all(
            type(b) is TimmBlock and (type(b.attn), type(b.mlp)) == (Attention, Mlp) for b in model.blocks
        ),
    }
    odd = [reason for reason, right in wanted.items() if not right]
    for module in model.modules():
        if isinstance(module, Mlp) and not isinstance(module.act, nn.GELU):
            odd.append("its activation is not GELU")
        if isinstance(module, nn.GELU) and module.approximate != "none":
            odd.append("its GELU is an approximation")
        if isinstance(module, nn.LayerNorm) and module.eps != LAYER_NORM_EPSILON:
            odd.append(f"its norms have epsilon {module.eps:g}, not {LAYER_NORM_EPSILON:g}")
        if "RmsNorm" in type(module).__name__:
            odd.append("its norms are no layer norms")
    return odd
