"""Labelled images in three parts: train, search (held out of the training images), test (read once, at the end)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.settings import shared
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.data import sources
from vitas_hw.data.decoding import Decoding
from vitas_hw.data.options import DataOptions
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.sources import Source, Sources
from vitas_hw.data.splits import IndexedPart, Split, TrainPart
from vitas_hw.data.streams import StreamedPart, check_disjoint, find_shards
from vitas_hw.data.timm_sources import folders, hub_dataset, torch_dataset

KNOWN = ("digits", "fashion-mnist[:FOLDER]", "folder:PATH", "hfds/NAME[:ROOT]", "torch/NAME[:ROOT]", "wds/PATH")
_SHARE, _MOST = 0.1, 10_000  # of the training images, held out unless a share is asked for
_CACHE_BYTES = 2**30  # of training images kept preprocessed in memory
_SEARCH_SEED, _TEST_SEED = 1, 2  # whatever the seed of a run, so that runs can be compared


@dataclass(frozen=True)
class ImageData:
    """A data set in three disjoint parts; ``name`` and ``options`` are what ``load_data`` was given; ``left_out`` are
    images that could not be read, by part.
    """

    name: str
    train: TrainPart
    search: Split
    test: Split
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    options: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Everything needed to find the same images again, without the images."""
        left_out = {"left_out": {name: list(some) for name, some in self.left_out.items()}} if self.left_out else {}
        return left_out | {
            "name": self.name,
            "options": dict(self.options),
            "class_names": list(self.class_names),
            "preprocessing": self.preprocessing.to_dict(),
            "indices": {part: list(getattr(self, part).indices) for part in ("train", "search", "test")},
        }


def load_data(spec: str, space: SearchSpace | Subnet, **options: Any) -> ImageData:
    """Load a data set with the image size of a space.

    Images are decoded on access; of streamed data (``wds/``) the search and test images are decoded now.

    Args:
        spec: ``digits``, ``fashion-mnist[:FOLDER]``, ``folder:PATH``, ``hfds/NAME[:ROOT]``, ``torch/NAME[:ROOT]`` or
            ``wds/PATH``.
        space: a space or subnet, for image size, channels (1: gray, 3: RGB) and number of classes.
        options: ``search_share``, the fraction of the training images held out as the search split, stratified by
            class (default: 0.1, at most 10,000 images); ``train_split`` and ``val_split``, names of the data set's
            splits if they are not the usual ones; ``search_split``, a split of the data set to search on instead.

    Raises:
        InputError: an unknown name, an option that the data set does not have, or other channels or classes than the
            space's.
        FileError: missing or broken data.

    Example:
        >>> data = vh.load_data("folder:photos", vh.space_for("folder:photos"))
        >>> data.class_names, len(data.train)
        (('disc', 'square'), 20)
    """
    chosen = DataOptions(**options)
    if space.in_chans not in (1, 3):
        raise InputError(
            f"Images have 1 channel (gray) or 3 (RGB); {_called(space)} has {space.in_chans}.",
            "Set in_chans: 3 in the space's file.",
        )
    given = shared(chosen, DataOptions)
    if spec.startswith("wds/") and spec != "wds/":
        return _streamed(spec, space, given)
    return _indexed(spec, space, find_sources(spec, given), given)


def find_sources(spec: str, options: dict[str, Any]) -> Sources:
    """What a data set that is no stream consists of; raises as ``load_data`` does."""
    name, colon, place = spec.partition(":")
    splits = {key: value for key, value in options.items() if key != "search_share"}
    if spec == "digits":
        sources.no_splits(name, options)
        return sources.digits()
    if name == "fashion-mnist" and bool(colon) == bool(place):
        sources.no_splits(name, splits)
        return sources.fashion_mnist(place or None)
    if name == "folder" and place:
        return folders(place, splits)
    if name.startswith("torch/") and name != "torch/":
        return torch_dataset(spec, splits)
    if name.startswith("hfds/") and name != "hfds/":
        return hub_dataset(spec, splits)
    raise one_of(spec, KNOWN, "data set")


def _indexed(spec: str, space: SearchSpace | Subnet, found: Sources, options: dict[str, Any]) -> ImageData:
    names = found.train.class_names
    if len(names) != space.num_classes:
        raise InputError(
            f"{spec} has {len(names)} classes; {_called(space)} has {space.num_classes}.",
            f"Set num_classes: {len(names)} in the space's file, or have one written that fits the data.",
        )
    preprocessing = _preprocessing(space, found.mean, found.std)
    train, search, test = _parts(spec, found, options.get("search_share"))
    fits = len(train) * math.prod(space.image_size) * space.in_chans <= _CACHE_BYTES
    train_part = IndexedPart(found.train, tuple(train.tolist()), preprocessing, keep=fits)

    def split(source: Source, chosen: npt.NDArray[np.int64]) -> Split:
        indices = tuple(chosen.tolist())
        return Split(Decoding(source, indices, preprocessing), source.labels[chosen], indices, preprocessing)

    search_part, test_part = split(found.search or found.train, search), split(found.test or found.train, test)
    return ImageData(spec, train_part, search_part, test_part, names, preprocessing, options)


def _streamed(spec: str, space: SearchSpace | Subnet, options: dict[str, Any]) -> ImageData:
    if "search_split" not in options:
        raise InputError(
            f"{spec} is a stream, so no images can be held out of it: the search needs shards of its own.",
            "Name them with `search_split`, and leave them out of `train_split`.",
            field="search_split",
        )
    preprocessing = _preprocessing(space)
    train, test, search = (
        find_shards(spec, options.get(option, usual), option, space.num_classes)
        for option, usual in (("train_split", "train"), ("val_split", "validation"), ("search_split", ""))
    )
    check_disjoint(train, test, search)
    names = tuple(str(label) for label in range(space.num_classes))
    parts = search.split(preprocessing), test.split(preprocessing)
    return ImageData(spec, StreamedPart(train, preprocessing), *parts, names, preprocessing, options)


def _parts(spec: str, found: Sources, share: float | None) -> tuple[npt.NDArray[np.int64], ...]:
    """Increasing indices of train, search and test in their sources."""
    if found.parts is not None:
        return found.parts
    labels = found.train.labels.numpy()
    rest = np.arange(len(labels))
    held_out = []
    for own, seed in ((found.test, _TEST_SEED), (found.search, _SEARCH_SEED)):
        if own is not None:
            held_out.append(np.arange(len(own.labels)))
            continue
        count = min(round(len(labels) * _SHARE), _MOST) if share is None else round(len(labels) * share)
        chosen = stratified(labels[rest], max(count, 1), seed)
        held_out.append(rest[chosen])
        rest = np.delete(rest, chosen)
    if not all(len(part) for part in (rest, *held_out)):
        raise InputError(f"{spec} has too few images ({len(labels)}) to hold any out.", "Give more images.")
    return rest, held_out[1], held_out[0]


def stratified(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Increasing positions of ``count`` of the labels (N,), the same share of every class as nearly as can be."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within one
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    within = np.arange(len(labels)) - np.repeat(starts, sizes)
    quantile = (within + 0.5) / np.repeat(sizes, sizes)
    return np.sort(order[np.argsort(quantile, kind="stable")[:count]])


def _called(space: SearchSpace | Subnet) -> str:
    return f"space {space.name!r}" if isinstance(space, SearchSpace) else f"subnet {space.digest}"


def _preprocessing(space: SearchSpace | Subnet, mean: float | None = None, std: float | None = None) -> Preprocessing:
    """Of small centred images (``mean`` and ``std`` given: resized only), or as is usual for photographs."""
    channels = space.in_chans
    if mean is not None and std is not None:
        return Preprocessing(space.image_size, (mean,) * channels, (std,) * channels, "bilinear")
    from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    means, stds = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD) if channels == 3 else ((0.5,), (0.5,))
    crop_pct = 0.875 if min(space.image_size) >= 128 else 1.0  # the border of a small image is worth keeping
    return Preprocessing(space.image_size, means, stds, "bicubic", crop_pct)
