"""Images with labels in three parts: train, search (held out of the training images), test (read once, at the end)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.space import SearchSpace

_SPLIT_SEED = 0  # the parts stay the same whatever the seed of a run, so that runs can be compared
_INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Preprocessing:
    """How an 8-bit image becomes the model's input: resize, divide by 255, subtract mean, divide by std."""

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """N preprocessed images (N, C, H, W) float32, labels (N,) int64, and their indices in the source (N,)."""

    images: Tensor
    labels: Tensor
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageData:
    """A data set in three disjoint parts."""

    name: str
    train: Split
    search: Split
    test: Split
    class_names: tuple[str, ...]
    preprocessing: Preprocessing

    def to_dict(self) -> dict[str, Any]:
        """Everything needed to find the same images again, without the images."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "preprocessing": self.preprocessing.to_dict(),
            "indices": {part: list(getattr(self, part).indices) for part in ("train", "search", "test")},
        }


def load_data(name: str, space: SearchSpace) -> ImageData:
    """A data set by name, sized for a space.

    Raises:
        InputError: an unknown name, or a space with other channels or classes than the data.
    """
    if name != "digits":
        raise one_of(name, ["digits"], "data set")
    if (space.in_chans, space.num_classes) != (1, 10):
        raise InputError(
            f"The digits have 1 channel and 10 classes; space {space.name!r} has {space.in_chans} and"
            f" {space.num_classes}.",
            "Use --space vitas-digits or a space of your own with those.",
        )
    return load_digits(space.image_size)


def load_digits(image_size: tuple[int, int]) -> ImageData:
    """scikit-learn's 1,797 handwritten digits (UCI), 8 x 8, values 0 to 16: 60% train, 20% search, 20% test."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    source = load()
    preprocessing = Preprocessing(image_size, mean=(0.5,), std=(0.5,), interpolation="bilinear")
    pixels = np.round(source.images * (255 / 16)).astype(np.uint8)
    images = torch.stack([preprocess(Image.fromarray(image), preprocessing) for image in pixels])
    labels = torch.from_numpy(source.target.astype(np.int64))
    everything = np.arange(len(labels))
    rest, test = train_test_split(everything, test_size=0.2, stratify=source.target, random_state=_SPLIT_SEED)
    train, search = train_test_split(rest, test_size=0.25, stratify=source.target[rest], random_state=_SPLIT_SEED)

    def part(indices: np.ndarray[Any, Any]) -> Split:
        chosen = np.sort(indices)
        return Split(images[chosen], labels[chosen], tuple(chosen.tolist()))

    names = tuple(str(name) for name in source.target_names)
    return ImageData("digits", part(train), part(search), part(test), names, preprocessing)


def preprocess(image: Image.Image, how: Preprocessing) -> Tensor:
    """One 8-bit image to (C, H, W) float32, see Preprocessing."""
    height, width = how.image_size
    resized = np.asarray(image.resize((width, height), _INTERPOLATIONS[how.interpolation]), np.float32) / 255
    channels = resized[None] if resized.ndim == 2 else np.moveaxis(resized, 2, 0)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (how.mean, how.std))
    return torch.from_numpy((channels - mean) / std)
