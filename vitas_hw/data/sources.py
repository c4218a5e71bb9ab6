"""Where images come from: scikit-learn's digits and IDX files; see also ``timm_sources``."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import read_bytes, reason

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts it
_MOST_BYTES = 2**30  # of an IDX file: ImageNet-sized ones come as folders
_PARTS_SEED = 0  # the parts stay the same whatever the seed of a run, so that runs can be compared
_IMAGES, _LABELS = 0x803, 0x801  # IDX: unsigned bytes in three dimensions, in one


class Source(Protocol):
    """N labelled images in some order."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def in_memory(self) -> bool:
        """Whether an image costs no reading."""

    def image(self, index: int) -> Image.Image:
        """Decoded. Raises FileError, which names the image, if it cannot be."""


@dataclass(frozen=True)
class Sources:
    """What a data set consists of.

    Args:
        train: images to train on, and to hold others out of.
        test: images of its own to test on; None: held out of ``train``.
        search: images of its own to search on; None: held out of ``train``.
        parts: indices in ``train`` of train, search and test, where the data set fixes them.
        mean, std: of gray values in 0 to 1; None: those usual for photographs.
    """

    train: Source
    test: Source | None = None
    search: Source | None = None
    parts: tuple[npt.NDArray[np.int64], ...] | None = None
    mean: float | None = None
    std: float | None = None


@dataclass(frozen=True)
class ArraySource:
    """Gray images (N, H, W) uint8 in memory."""

    pixels: npt.NDArray[np.uint8]
    labels: Tensor
    class_names: tuple[str, ...]
    in_memory: bool = True

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


@cache  # scikit-learn parses a text file, for a fifth of a second
def digits() -> Sources:
    """scikit-learn's 1,797 handwritten digits (UCI), 8 x 8, values 0 to 16: 60% train, 20% search, 20% test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source: Any = load_digits()
    pixels = np.round(source.images * (255 / 16)).astype(np.uint8)
    labels = source.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=_PARTS_SEED)
    train, search = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=_PARTS_SEED)
    names = tuple(str(name) for name in source.target_names)
    parts = tuple(np.sort(part) for part in (train, search, test))
    return Sources(ArraySource(pixels, torch.from_numpy(labels), names), parts=parts, mean=0.5, std=0.5)


def fashion_mnist(place: str | None) -> Sources:
    """70,000 gray 28 x 28 photographs of clothing (Zalando): four IDX files, gzipped or not, in a folder.

    Raises:
        FileError: the folder, or one of the files, is missing or broken.
    """
    folder = FASHION_MNIST if place is None else Path(place)
    train, test = (_idx_pair(folder, part) for part in ("train", "t10k"))
    return Sources(train, test, mean=0.286, std=0.353)


def _idx_pair(folder: Path, part: str) -> ArraySource:
    from torchvision.datasets import FashionMNIST

    names = tuple(FashionMNIST.classes)
    images_path, labels_path = (_idx_path(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = _read_idx(images_path, _IMAGES), _read_idx(labels_path, _LABELS)
    if len(images) != len(labels):
        raise FileError(f"{images_path} has {len(images)} images but {labels_path} has {len(labels)} labels.")
    if len(labels) and labels.max() >= len(names):
        raise FileError(f"{labels_path} has the label {labels.max()}; fashion-mnist has 0 to 9.")
    return ArraySource(images, torch.from_numpy(labels.astype(np.int64)), names)


def _idx_path(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileError(
        f"fashion-mnist is not in {folder}: there is no {name}, with or without .gz.",
        "Run: apt-get install dataset-fashion-mnist (Debian, Ubuntu); or name its folder: `data=fashion-mnist:FOLDER`.",
    )


def _read_idx(path: Path, magic: int) -> npt.NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, unpacked if its name ends in ``.gz``.

    By hand, since torchvision's reader takes no packed file, and its checks are assertions without words.

    Args:
        path: to the file.
        magic: the four bytes it begins with: the type of its values and the number of its dimensions.

    Raises:
        FileError: unreadable, another magic number, or a length that its header does not tell.
    """
    again = "Get the file again."
    try:
        content = read_bytes(path, "the images", most=_MOST_BYTES, hint=again)
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} cannot be read or unpacked: {reason(error)}.", again) from error
    if len(content) > _MOST_BYTES:
        raise FileError(f"{path} unpacks to more than {_MOST_BYTES:,} bytes.", again)
    found, header = int.from_bytes(content[:4], "big"), 4 + 4 * (magic & 0xFF)
    if found != magic or len(content) < 4:
        raise FileError(f"{path} is not the IDX file it should be: it begins with {found:#x}, not {magic:#x}.", again)
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, header, 4)]
    announced = header + math.prod(shape)
    if len(content) != announced:
        lengths = f"its header announces {announced} bytes, it has {len(content)}"
        raise FileError(f"{path} is truncated or too long: {lengths}.", again)
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def no_splits(name: str, options: dict[str, Any]) -> None:
    """Raises InputError if a part of a data set with fixed ones is asked for by name."""
    for option in options:
        problem = f"The parts of {name} are fixed: it takes no `{option}`."
        raise InputError(problem, f"Leave `{option}` out.", field=option)
