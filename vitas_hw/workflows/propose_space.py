"""A search space that fits a data set, as a file to change."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.presets import preset
from vitas_hw.core.reading import read_bytes
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import find_sources
from vitas_hw.data.sources import Source
from vitas_hw.training.recipe import FEW_IMAGES
from vitas_hw.workflows.propose_space_around import space_from_model

_LOOKED_AT = 50  # images, for their size and colours
_SIDES = (32, 64, 128, 224)
_MOST_SIDE_OF_FEW = 64  # small enough that a training from scratch is one of minutes on a CPU
_GRAY = ("1", "L", "LA", "I", "I;16")
_LONGEST = 64  # name of a space
_FINEST, _COARSEST = 8, 4  # patches along a side


@dataclass(frozen=True)
class Proposal:
    """A space for a data set, and what it was derived from: ``side`` is the usual shorter side of an image.

    ``path`` is its file, None if it was not written.
    """

    space: SearchSpace
    images: int
    side: int
    path: Path | None


def propose_space(spec: str, output: Path | None = None, init: str | None = None) -> Proposal:
    """Write a space that fits a data set: its classes, its colours, and sizes for as many images as there are.

    Args:
        spec: as given to ``load_data``; no stream, which does not tell its classes.
        output: the YAML file; None is the data's name, in this directory.
        init: a pretrained ViT, see ``load_original``: the space is then that model and its parts, with the model's
            image size and colours, and drops first the blocks that matter least on the data.

    Raises:
        FileError: data, or a model's file, that are missing or broken.
        InputError: an unknown data set or model, a model of another kind, or a file of other content is there.
        VitasError: the model could not be downloaded.
    """
    source = training_images(spec)
    path = output or Path(f"{name_of(spec)}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"A space's file ends in .yaml, not {path.name!r}.", f"Try `output={path.stem}.yaml`.")
    found = fitting_space(spec, source, path.stem.lower(), init)
    title = f"# For {spec!r}: {found.images} images of {len(source.class_names)} classes,"
    title += f" {found.side} pixels or so a side."
    if init is not None:
        title += f" Its largest subnet is {init!r}."
    text = _yaml(found.space, title)
    if path.exists() and read_bytes(path, "the space") != text.encode():
        raise InputError(f"{path} is there already, with other content.", "Name another file with `output`.")
    write_atomic(path, text)
    return replace(found, path=path)


def fitting_space(spec: str, source: Source, name: str, init: str | None) -> Proposal:
    """A space of that name that fits the images; not written. Args and errors as of ``propose_space``."""
    count, classes = len(source.labels), len(source.class_names)
    looked = [source.image(int(i)) for i in np.unique(np.linspace(0, count - 1, _LOOKED_AT).astype(int))]
    side = int(np.median([min(image.size) for image in looked]))
    gray = all(image.mode in _GRAY for image in looked)
    if init is None:
        space = _space(name, count, classes, side, 1 if gray else 3)
    else:
        space = space_from_model(spec, init, name, classes)
    return Proposal(space, count, side, None)


def training_images(spec: str) -> Source:
    """All of them, of data as given to ``load_data``. Raises InputError for a stream, and as that does."""
    if spec.startswith("wds/"):
        raise InputError(
            f"{spec} is a stream, which does not tell its classes.", "Write the space yourself: see docs/your-space.md"
        )
    return find_sources(spec, {}).train


def name_of(spec: str) -> str:
    """The own name of data or a model, as a space may be called."""
    last = Path(spec.partition(":")[2] or spec).resolve().name.lower()[:_LONGEST]
    return re.sub(r"[^a-z0-9_.-]+", "-", last).strip("-.") or "mine"


def _space(name: str, images: int, classes: int, side: int, channels: int) -> SearchSpace:
    few = images <= FEW_IMAGES
    most = _MOST_SIDE_OF_FEW if few else _SIDES[-1]
    size = max((one for one in _SIDES if one <= min(side, most)), default=_SIDES[0])
    usual = preset("vitas-deit-tiny")
    patches = usual.patch_sizes if size == usual.image_size[0] else (size // _FINEST, size // _COARSEST)
    whole = replace(
        usual, name=name, image_size=(size, size), in_chans=channels, num_classes=classes, patch_sizes=patches
    )
    if not few:
        return whole
    return replace(
        whole,
        embed_dims=(64, 96, 128, 160, 192),
        depth=(2, 6),
        num_heads=(2, 4),
        attn_dims=(64, 128, 192),
        mlp_dims=(128, 256, 384, 512),
    )


def _yaml(space: SearchSpace, title: str) -> str:
    notes = {
        "image_size": "height, width: images are resized and cropped to it",
        "in_chans": "1: gray, 3: RGB",
        "patch_sizes": "each divides the image size",
        "depth": "fewest, most blocks",
        "num_heads": "one choice per block, as are the next two",
        "attn_dims": "width of each of q, k and v; every number of heads divides it",
        "head_dim": "width of a head in each of q, k and v",
        "block_order": "the blocks of the largest subnet; a shallower one lacks the last of these",
    }
    lines = [title, "# Change what you like before the first step of a run."]
    for key, value in space.to_dict().items():
        if key == "name":  # the file's
            continue
        shown = f"{key}: {list(value) if isinstance(value, (list, tuple)) else value}"
        lines.append(f"{shown:<44} # {notes[key]}".rstrip() if key in notes else shown)
    return "\n".join(lines) + "\n"
