"""Data sets that timm finds: images in folders, one per class (PATH/train/CLASS/*.jpg and PATH/val/..., or
PATH/CLASS/...), and by name torchvision's and those of the Hugging Face hub.

Tested: ``torch/mnist`` with files written by the test; ``hfds/`` with a folder of images and the package ``datasets``
where that is installed, never with the hub. ``torch/imagenet`` and ``torch/places365`` are untested.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import FileError, InputError, one_of
from vitas_hw.core.reading import reason
from vitas_hw.data.image_files import decoded, recognised, seen, unreadable
from vitas_hw.data.sources import Sources

TORCH = ("cifar10", "cifar100", "fashion_mnist", "imagenet", "kmnist", "mnist", "places365")
_ON_DISK = ("imagenet", "places365")
_TORCH_ROOT = "data"
_TRAIN = ("train", "training")  # where timm looks for them, and in this order
_VAL = ("val", "valid", "validation", "eval", "evaluation", "test")


def require(package: str, spec: str) -> None:
    """Raises InputError if an optional package is not installed."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{spec} needs the package {package}, which is not installed.", f"Run: pip install {package}")


@dataclass(frozen=True)
class TorchSource:
    """One of torchvision's data sets, whose items are a decoded image and a label."""

    name: str
    dataset: Any
    labels: Tensor
    class_names: tuple[str, ...]
    in_memory: bool

    def image(self, index: int) -> Image.Image:
        """See ``Source``."""
        try:
            return seen(self.dataset[index][0])
        except Exception as error:  # Pillow's decoders raise all sorts of things
            files = getattr(self.dataset, "samples", None) or getattr(self.dataset, "imgs", None)
            name = files[index][0] if files else f"Image {index} of {self.name}"
            raise unreadable(name, error) from error


def torch_dataset(spec: str, splits: dict[str, Any]) -> Sources:
    """``torch/NAME[:ROOT]``: what torchvision finds in the folder ROOT, "data" unless given; nothing is downloaded.

    Raises:
        InputError: an unknown name, or parts asked for by name.
        FileError: the files are not there.
    """
    name, _, root = spec.removeprefix("torch/").partition(":")
    if name not in TORCH:
        raise one_of(name, TORCH, "data set of torchvision")
    if splits:
        raise InputError(f"torch/{name} has the parts train and val only.", f"Leave `{next(iter(splits))}` out.")
    train, test = (_torch_source(name, root or _TORCH_ROOT, part) for part in ("train", "validation"))
    return Sources(train, test)


def _torch_source(name: str, root: str, split: str) -> TorchSource:
    from timm.data import create_dataset

    try:
        dataset = create_dataset(f"torch/{name}", root, split=split)
    except Exception as error:  # torchvision's data sets raise all sorts of things for missing or broken files
        hint = f"Put its files where torchvision looks for them and name the folder: `data=torch/{name}:ROOT`."
        raise FileError(f"torch/{name} cannot be opened in {root!r}: {reason(error)}.", hint) from error
    names = tuple(str(one if isinstance(one, str) else one[0]) for one in dataset.classes)
    return TorchSource(f"torch/{name}", dataset, torch.as_tensor(dataset.targets), names, name not in _ON_DISK)


@dataclass(frozen=True)
class HubSource:
    """A reader of timm over a data set of the package ``datasets``."""

    name: str
    reader: Any
    labels: Tensor
    class_names: tuple[str, ...]
    in_memory: bool = False

    def image(self, index: int) -> Image.Image:
        """See ``Source``."""
        file = self.reader[index][0]
        path = getattr(file, "name", None)
        with file:
            return decoded(file, str(path) if path else f"Image {index} of {self.name}")


def hub_dataset(spec: str, splits: dict[str, Any]) -> Sources:
    """``hfds/NAME[:ROOT]``: a data set of the Hugging Face hub with the columns ``image`` and ``label``.

    Args:
        spec: NAME as on the hub, or a local folder; ROOT is where downloads are kept.
        splits: ``train_split`` ("train"), ``val_split`` ("validation", else "test"), ``search_split``.

    Raises:
        InputError: the package ``datasets`` is missing, or the data set cannot be opened.
    """
    name, _, root = spec.removeprefix("hfds/").partition(":")
    require("datasets", spec)
    train = _hub_source(name, root, splits.get("train_split", "train"))
    assert train is not None
    if "val_split" in splits:
        test = _hub_source(name, root, splits["val_split"])
    else:
        test = _hub_source(name, root, "validation", optional=True) or _hub_source(name, root, "test", optional=True)
    search = _hub_source(name, root, splits["search_split"]) if "search_split" in splits else None
    for what, part in (("test", test), ("search", search)):
        if part is not None and part.class_names != train.class_names:
            raise InputError(
                f"The {what} part of hfds/{name} has other classes than its training images, or in another order.",
                "Name parts of the same classes with `val_split` and `search_split`.",
            )
    return Sources(train, test, search)


def _hub_source(name: str, root: str, split: str, optional: bool = False) -> HubSource | None:
    from timm.data import create_dataset

    try:
        reader = create_dataset(f"hfds/{name}", root or None, split=split).reader
        labels = torch.tensor([int(label) for label in reader.dataset[reader.label_key]])
    except Exception as error:  # files, network, formats: everything may fail here
        if optional and isinstance(error, ValueError) and "split" in str(error):
            return None
        raise InputError(
            f"hfds/{name} cannot be opened with the part {split!r}: {reason(error)}.",
            "Give a data set with the columns image and label; its parts' names with `train_split` and `val_split`.",
        ) from error
    classes = reader.class_to_idx or {str(label): label for label in range(int(labels.max()) + 1)}
    return HubSource(f"hfds/{name}", reader, labels, tuple(sorted(classes, key=classes.__getitem__)))


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

    def recognise(self, index: int) -> None:
        """Raises FileError, which names the image, if its first bytes are those of none."""
        recognised(self.paths[index], self.paths[index])


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
        there = sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        raise FileError(f"{path} has no folder {wanted!r}.", f"It has: {', '.join(there) or 'none'}.")
    names = usual if wanted is None else (wanted,)
    return next((path / name for name in names if (path / name).is_dir()), None)


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
