"""Images in folders, one per class, as timm reads them: PATH/train/CLASS/*.jpg and PATH/val/..., or PATH/CLASS/..."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import check_regular, reason
from vitas_hw.data.sources import Sources

_REPLACE = "Replace it to go on with a training, or delete it to train anew (`fresh`)."
_TRAIN = ("train", "training")  # where timm looks for them, and in this order
_VAL = ("val", "valid", "validation", "eval", "evaluation", "test")


@dataclass(frozen=True)
class FolderSource:
    """Image files and their classes."""

    paths: tuple[str, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    in_memory: bool = False

    def image(self, index: int) -> Image.Image:
        """See ``Source``: timm's own data set would give another image in place of a broken one."""
        return decoded(self.paths[index], self.paths[index])


def decoded(file: str | BinaryIO, name: str) -> Image.Image:
    """An image, all of it read. Raises FileError, which names it, if it is missing, no image or truncated."""
    try:
        if isinstance(file, str):
            check_regular(Path(file), "the image")  # a pipe would be waited for
        with Image.open(file) as image:
            image.load()
            return image
    except Exception as error:  # Pillow's decoders raise all sorts of things
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> FileError:
    """The error for an image that cannot be read, because of ``error``."""
    return FileError(f"{name} cannot be read as an image: {reason(error)}.", _REPLACE)


def folders(place: str, splits: dict[str, Any]) -> Sources:
    """A tree of image files.

    Args:
        place: has a folder for training and maybe one for validation, or else the classes themselves.
        splits: ``train_split``, ``val_split``, ``search_split``: names of folders in ``place``.

    Raises:
        FileError: a folder is missing or empty.
        InputError: training and validation have other classes.
    """
    path = Path(place)
    if not path.is_dir():
        raise FileError(f"{path} is not a folder.", "Give the folder of the images: `data=folder:PATH`.")
    train, val = _part(path, splits.get("train_split"), _TRAIN), _part(path, splits.get("val_split"), _VAL)
    search = _part(path, splits.get("search_split"), ())
    if train is None and (val or search):
        raise FileError(
            f"{path} has a folder {(val or search or path).name} but none of {', '.join(_TRAIN)}.",
            "Name the training images' folder with `train_split`.",
        )
    train = train or path
    source = _read(train, None)
    return Sources(
        train=source, test=_read(val, source) if val else None, search=_read(search, source) if search else None
    )


def _part(path: Path, wanted: str | None, usual: tuple[str, ...]) -> Path | None:
    if wanted is not None and not (path / wanted).is_dir():
        raise FileError(f"{path} has no folder {wanted!r}.", f"It has: {', '.join(_folders(path)) or 'none'}.")
    names = usual if wanted is None else (wanted,)
    return next((path / name for name in names if (path / name).is_dir()), None)


def _folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


def _read(folder: Path, like: FolderSource | None) -> FolderSource:
    from timm.data.readers.img_extensions import get_img_extensions
    from timm.data.readers.reader_image_folder import find_images_and_targets

    endings = get_img_extensions()
    listed = f"Images are files named *{', *'.join(endings)} in one folder per class."
    samples, classes = find_images_and_targets(str(folder))
    if not samples:
        raise FileError(f"There are no images in {folder}.", listed)
    if "" in classes:
        loose = next(sample for sample, label in samples if label == classes[""])
        raise FileError(f"{loose} lies outside of the class folders of {folder}.", listed)
    with_images = {os.path.dirname(sample) for sample, _ in samples}
    for root, below, _ in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if not below and root not in with_images:
            raise FileError(f"The class folder {root} has no images.", f"Fill or delete it. {listed}")
    names = tuple(sorted(classes, key=classes.__getitem__))
    if like is not None and set(names) != set(like.class_names):
        more, fewer = sorted(set(names) - set(like.class_names)), sorted(set(like.class_names) - set(names))
        differences = [f"{word} {_few(some)}" for word, some in (("has also", more), ("lacks", fewer)) if some]
        raise InputError(
            f"The classes of {folder} are not those of the training images: it {' and '.join(differences)}.",
            "Both need a folder of the same name for every class.",
        )
    return FolderSource(tuple(sample for sample, _ in samples), torch.tensor([label for _, label in samples]), names)


def _few(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
