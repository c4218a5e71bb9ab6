"""The images of the study: training and search part with labels, the test part without.

``training()`` opens the two files of Fashion-MNIST's training images only. ``sealed_images()`` opens the test part's
images, for predictions that are kept unscored. The labels of the test part are read in ``pays_finish.py`` alone, once.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vitas_hw.data.load import stratified
from vitas_hw.data.sources import FASHION_MNIST

FOLDER = Path(os.environ.get("FASHION_MNIST", FASHION_MNIST))
SEARCH_IMAGES, SEARCH_SEED = 6_000, 1  # the part that the library's ``load_data`` holds out
SEARCH_DIGEST = "60c086ce45eca3c7"  # of the indices: another library must not shift the parts unnoticed
MEAN, STD = 0.286, 0.353  # as the library has them
_HEADERS = {"images-idx3": 16, "labels-idx1": 8}  # bytes


@dataclass(frozen=True)
class Images:
    """(N, 1, 28, 28) normalised float32 and (N,) int64, of both parts; ``search_indices`` in the file."""

    train: Tensor
    train_labels: Tensor
    search: Tensor
    search_labels: Tensor
    search_indices: tuple[int, ...]


def training() -> Images:
    """All training images but the search part, and the search part."""
    pixels, labels = read("train", "images-idx3"), read("train", "labels-idx1").astype(np.int64)
    held_out = stratified(labels, SEARCH_IMAGES, SEARCH_SEED)
    if digest(held_out) != SEARCH_DIGEST:
        raise SystemExit("This library holds out another search part than the study's: nothing can be compared.")
    rest = np.delete(np.arange(len(labels)), held_out)
    images, targets = normalised(pixels), torch.from_numpy(labels)
    return Images(images[rest], targets[rest], images[held_out], targets[held_out], tuple(held_out.tolist()))


def sealed_images() -> Tensor:
    """(10000, 1, 28, 28) of the test part: images, no labels."""
    return normalised(read("t10k", "images-idx3"))


def digest(indices: npt.NDArray[np.int64]) -> str:
    return hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()[:16]


def normalised(pixels: npt.NDArray[np.uint8]) -> Tensor:
    images = torch.from_numpy(pixels.reshape(-1, 1, 28, 28).astype(np.float32))
    return images.div_(255).sub_(MEAN).div_(STD)


def read(part: str, kind: str) -> npt.NDArray[np.uint8]:
    with gzip.open(FOLDER / f"{part}-{kind}-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=_HEADERS[kind])
