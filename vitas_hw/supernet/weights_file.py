"""Supernet and plain weights as safetensors files that say what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from vitas_hw.core.errors import FileError, InputError, WriteError, shown
from vitas_hw.core.files import atomic_path
from vitas_hw.core.reading import check_regular, parse_json, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet

if TYPE_CHECKING:  # a header is read without torch
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor

    from vitas_hw.supernet.supernet import Supernet

SCHEMA = "2"
_LENGTH = 8  # bytes before a safetensors header that say how long it is


def save_supernet(supernet: Supernet, path: Path) -> None:
    """Write weights, space, sharing scheme and what is private."""
    about = {
        "kind": "supernet",
        "schema": SCHEMA,
        "space": json.dumps(supernet.space.to_dict()),
        "sharing": supernet.sharing,
        "private": json.dumps(supernet.private),
    }
    _save(supernet.state_dict(), path, about)


def load_supernet(path: str | Path) -> Supernet:
    """Load a supernet from a file. Raises FileError if it is missing, broken or not a supernet's.

    Example:
        >>> vh.load_supernet("runs/digits/supernet.safetensors").space.name
        'tiny'
    """
    path = Path(path)
    import safetensors.torch

    from vitas_hw.supernet.supernet import Supernet

    about = _about(path, "supernet")
    with _told(path, "supernet"):
        space, private = SearchSpace.from_dict(parse_json(about["space"])), parse_json(about["private"])
        _check_room(path, space.largest)
        if not (isinstance(private, list) and all(isinstance(name, str) for name in private)):
            raise ValueError("the names of the private parts are no list")
        supernet = Supernet(space, about["sharing"], private)
        supernet.load_state_dict(finite(safetensors.torch.load_file(path)))
    return supernet.eval()


def save_model(model: VisionTransformer, subnet: Subnet, path: Path) -> None:
    """Write a plain model's weights and its subnet."""
    about = {"kind": "subnet", "schema": SCHEMA, "subnet": subnet.to_json()}
    _save({k: v.contiguous() for k, v in model.state_dict().items()}, path, about)


def subnet_of(path: Path) -> Subnet:
    """The subnet whose weights a file holds, from its header. Raises FileError as ``load_model`` does."""
    about = _about(path, "subnet")
    with _told(path, "subnet"):
        subnet = Subnet.from_json(about["subnet"])
        _check_room(path, subnet)
    return subnet


def load_model(path: Path) -> tuple[VisionTransformer, Subnet]:
    """The plain model of a file, and its subnet. Raises FileError if it is missing, broken or of another kind."""
    import safetensors.torch

    from vitas_hw.supernet.plain import build_model

    subnet = subnet_of(path)
    with _told(path, "subnet"):
        model = build_model(subnet)
        model.load_state_dict(finite(safetensors.torch.load_file(path)))
    return model.eval(), subnet


def finite(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same; raises ValueError if a weight is infinite or no number: nothing that is computed with it is one."""
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(f"{shown(name)} holds what is no finite number")
    return weights


def _save(weights: dict[str, Tensor], path: Path, about: dict[str, str]) -> None:
    import safetensors.torch

    try:
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(weights, temporary, about)
            _sort_header(temporary)
    except SafetensorError as error:  # its writer's word for a full disk
        raise WriteError(path, reason(error)) from error


def _sort_header(path: Path) -> None:
    """The library writes what a file says about itself in another order each time: equal weights, equal bytes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        found = json.loads(file.read(length))
        found["__metadata__"] = dict(sorted(found["__metadata__"].items()))
        content = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(content) <= length, "JSON without spaces became longer"
        file.seek(_LENGTH)
        file.write(content.ljust(length))


def _check_room(path: Path, subnet: Subnet) -> None:
    """Raise ValueError if the file is smaller than the model it tells of: a few lines must not claim terabytes."""
    if subnet.params > path.stat().st_size:
        raise ValueError(f"it is too small for {subnet.params:,} parameters")


@contextmanager
def _told(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        raise FileError(f"{path} is a broken {kind}: {type(error).__name__}: {reason(error)}.") from error


def header(path: Path, what: str) -> dict[str, str]:
    """What a safetensors file says about itself; of ours ``kind`` is ``subnet`` or ``supernet``.

    Args:
        path: the file.
        what: it should be, for the errors: "the weights".

    Raises FileError if it is missing or broken.
    """
    check_regular(path, what)
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} is not a readable safetensors file: {reason(error)}.") from error


def _about(path: Path, kind: str) -> dict[str, str]:
    about = header(path, f"the {kind}'s weights")
    if about.get("kind") != kind:
        raise FileError(f"{path} holds no {kind}, but {shown(about.get('kind', 'something else'))}.")
    if about.get("schema") != SCHEMA:
        raise FileError(
            f"{path} holds a {kind} of schema {shown(about.get('schema'))}, not {SCHEMA}.",
            "It is of another version: make it anew.",
        )
    return about
