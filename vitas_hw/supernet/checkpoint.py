"""Supernet and plain weights as safetensors files that say what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import atomic_path
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import Supernet

SCHEMA = "2"


def save_supernet(supernet: Supernet, path: Path) -> None:
    """Write weights, space, sharing scheme and what is private."""
    about = {
        "kind": "supernet",
        "schema": SCHEMA,
        "space": json.dumps(supernet.space.to_dict()),
        "sharing": supernet.sharing,
        "private": json.dumps(supernet.private),
    }
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(supernet.state_dict(), temporary, about)


def load_supernet(path: Path) -> Supernet:
    """The supernet of a file. Raises FileError if it is missing, broken or not a supernet's."""
    about = _about(path, "supernet")
    try:
        space = SearchSpace.from_dict(json.loads(about["space"]))
        supernet = Supernet(space, about["sharing"], json.loads(about["private"]))
        supernet.load_state_dict(safetensors.torch.load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        raise FileError(f"{path} is a broken supernet: {_line(error)}.") from error
    return supernet.eval()


def save_model(model: VisionTransformer, subnet: Subnet, path: Path) -> None:
    """Write a plain model's weights and its subnet."""
    about = {"kind": "subnet", "schema": SCHEMA, "subnet": subnet.to_json()}
    with atomic_path(path) as temporary:
        safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary, about)


def load_model(path: Path) -> tuple[VisionTransformer, Subnet]:
    """The plain model of a file, and its subnet. Raises FileError if it is missing, broken or of another kind."""
    about = _about(path, "subnet")
    try:
        subnet = Subnet.from_json(about["subnet"])
        model = build_model(subnet)
        model.load_state_dict(safetensors.torch.load_file(path))
    except (KeyError, RuntimeError, InputError) as error:
        raise FileError(f"{path} is a broken subnet: {_line(error)}.") from error
    return model.eval(), subnet


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _about(path: Path, kind: str) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} is not a readable safetensors file: {error}.") from error
    if about.get("kind") != kind:
        raise FileError(f"{path} holds no {kind}, but {about.get('kind', 'something else')!r}.")
    if about.get("schema") != SCHEMA:
        raise FileError(
            f"{path} holds a {kind} of schema {about.get('schema')}, not {SCHEMA}.",
            "It is of another version: make it anew.",
        )
    return dict(about)
