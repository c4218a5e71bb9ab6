"""Images streamed from tar shards (webdataset), with timm's description of them.

timm's own reader leaves out what it cannot decode, with a line in the log only; here that is an error.
"""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.reading import parse_json, reason
from vitas_hw.data.augmentation import Augmented, Raw
from vitas_hw.data.image_files import decoded
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Batch, Pass, Split, loaded, step_sizes
from vitas_hw.data.timm_sources import require

_SHUFFLED = 2048  # samples, still encoded, among which the next is drawn
_IMAGES = ("jpg", "jpeg", "png", "webp")
_EXAMPLE = "For example: 'train-{0000..0007}.tar|8000', where 8000 is the number of images."


@dataclass(frozen=True)
class Shards:
    """Tar files with ``count`` images (0: not told); the label is in the ``.cls`` file, or ``json_label`` of the
    ``.json`` file.
    """

    name: str
    urls: tuple[str, ...]
    count: int
    json_label: str
    num_classes: int

    def samples(self, urls: Sequence[str], rng: random.Random | None = None) -> Iterator[tuple[Image.Image, int]]:
        """Decoded images and labels of some of the shards; shuffled within a buffer with ``rng``.

        Raises:
            FileError: a shard or an image in it cannot be read; names it.
            InputError: a label that the space does not have.
        """
        samples = self._raw(urls)
        for sample in _shuffled(samples, rng) if rng else samples:
            where = f"{sample['__key__']} in {sample['__url__']}"
            key = next((key for key in _IMAGES if key in sample), None)
            if key is None:
                raise FileError(f"{where} has no image.", f"An image's file ends in .{', .'.join(_IMAGES)}.")
            try:
                label = int(parse_json(sample["json"].decode())[self.json_label] if self.json_label else sample["cls"])
            except (KeyError, ValueError, TypeError) as error:
                place = f"at {self.json_label!r} of a .json file" if self.json_label else "in a .cls file"
                raise FileError(f"{where} has no readable label.", f"It is a whole number {place}.") from error
            if not 0 <= label < self.num_classes:
                raise InputError(f"{where} has the label {label}; the space has {self.num_classes} classes, from 0 on.")
            yield decoded(io.BytesIO(sample[key]), where), label

    def _raw(self, urls: Sequence[str]) -> Iterator[dict[str, Any]]:
        from webdataset.gopen import gopen
        from webdataset.tariterators import group_by_keys, tar_file_expander

        for url in urls:
            try:
                with closing(gopen(url)) as stream:  # webdataset's own pipeline leaves it open
                    yield from group_by_keys(tar_file_expander([{"url": url, "stream": stream}]))
            except Exception as error:  # tar files on disk or anywhere: everything may fail here
                raise FileError(f"The shard {url} cannot be read: {reason(error)}.", "Get the file again.") from error

    def split(self, preprocessing: Preprocessing) -> Split:
        """All images, in the order of the shards."""
        images, labels = [], []
        for image, label in self.samples(self.urls):
            images.append(preprocessing.pixels(image))
            labels.append(label)
        if not images:
            raise FileError(f"There are no images in the shards of {self.name}.")
        return Split(torch.stack(images), torch.tensor(labels), tuple(range(len(labels))), preprocessing)


def find_shards(spec: str, split: str, option: str, num_classes: int) -> Shards:
    """The shards of one part of ``wds/PATH``.

    Args:
        spec: PATH is a folder or an address.
        split: a part in ``_info.json``, or names of shards in braces, see ``load_data``.
        option: that names the part.
        num_classes: of the space.

    Raises:
        InputError: webdataset is missing, or there is no such part.
        FileError: the folder is missing.
    """
    require("webdataset", spec)
    from timm.data import create_reader

    root = spec.removeprefix("wds/")
    if ":" not in root and not Path(root).is_dir():
        raise FileError(f"{root} is not a folder.", "Give the folder of the shards: `data=wds/PATH`.")
    try:
        reader = create_reader("wds/", root, split=split)
        info, total = reader.split_info, reader.num_samples
    except Exception as error:  # of a description in JSON, made by anybody
        hint = f"Name the shards with `{option}`. {_EXAMPLE}"
        raise InputError(f"{spec} has no part {split!r}: {reason(error)}.", hint, field=option) from error
    urls = tuple(os.path.join(root, name) for name in info.filenames)
    return Shards(f"{spec}, part {split!r}", urls, int(total), info.alt_label, num_classes)


def _shuffled(samples: Iterable[dict[str, Any]], rng: random.Random) -> Iterator[dict[str, Any]]:
    waiting: list[dict[str, Any]] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == _SHUFFLED:
            chosen = rng.randrange(_SHUFFLED)
            waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
            yield waiting.pop()
    rng.shuffle(waiting)
    yield from waiting


def check_disjoint(train: Shards, test: Shards, search: Shards) -> None:
    """Raises InputError if two parts share a shard, or the training images' number is not told."""
    for first, second in combinations((train, search, test), 2):
        for url in first.urls:
            if url in second.urls:
                raise InputError(f"The shard {url} belongs both to {first.name} and to {second.name}.")
    if train.count < 1:
        raise InputError(f"{train.name} does not tell its number of images.", f"Add it to `train_split`. {_EXAMPLE}")


@dataclass(frozen=True)
class StreamedPart:
    """A train part read in the order of shuffled shards.

    Exact resume is by whole epochs. One process reads every image once an epoch; of several, each reads its own shards
    and begins again where they end early, so that all do the same number of steps. The number of workers changes the
    order. Global RNGs stay as they were.
    """

    shards: Shards
    preprocessing: Preprocessing
    indices: tuple[int, ...] = ()
    can_skip = False

    def __len__(self) -> int:
        return self.shards.count

    def batches(self, how: Pass) -> Iterator[Batch]:
        """See ``TrainPart``. Raises InputError also for ``skip``, and for fewer shards than ranks."""
        world = how.world
        if how.skip:
            raise InputError("Streamed images (wds/) cannot go on in the middle of an epoch.", "Repeat the epoch.")
        if len(self.shards.urls) < world:
            raise InputError(f"{self.shards.name} has {len(self.shards.urls)} shards for {world} processes.")
        sizes = [size // world for size in step_sizes(len(self), how.batch_size, world, how.rank)]
        order = np.random.default_rng([how.seed, how.epoch]).permutation(np.array(self.shards.urls))
        return _rebatched(_Stream(self, how, order[how.rank :: world].tolist()), sizes)


def _rebatched(dataset: _Stream, sizes: list[int]) -> Iterator[Batch]:
    """Batches of exactly these sizes from a stream of others, read again from the start where it ends early."""
    chunks = _chunks(dataset)
    images, labels = next(chunks)
    for size in sizes:
        while len(labels) < size:
            more = next(chunks)
            images, labels = torch.cat([images, more[0]]), torch.cat([labels, more[1]])
        yield images[:size], labels[:size]
        images, labels = images[size:], labels[size:]


def _chunks(dataset: _Stream) -> Iterator[Batch]:
    while True:
        empty = True
        workers = min(dataset.how.workers, len(dataset.shards))
        for chunk in loaded(
            dataset, dataset.part.preprocessing, dataset.how.device, batch_size=None, num_workers=workers
        ):
            empty = False
            yield chunk
        if empty:
            raise FileError(f"There are no images in the shards of {dataset.part.shards.name}.")


class _Stream(torch.utils.data.IterableDataset[Any]):
    """Chunks of augmented images from this process's shards, each image once."""

    def __init__(self, part: StreamedPart, how: Pass, shards: list[str]) -> None:
        self.part, self.how, self.shards = part, how, shards

    def __iter__(self) -> Iterator[tuple[Raw, Tensor] | VitasError]:
        how, info = self.how, torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        words = how.seed, how.epoch, how.rank, worker
        samples = self.part.shards.samples(self.shards[worker::workers], random.Random(repr(words)))  # noqa: S311
        augmented = Augmented(how.augmentation, self.part.preprocessing)
        numbers = count()
        try:
            while chunk := list(islice(samples, how.batch_size // how.world)):
                own = [(*words, next(numbers)) for _ in chunk]
                yield augmented((image for image, _ in chunk), own), torch.tensor([label for _, label in chunk])
        except VitasError as error:  # torch would wrap what a worker raises in its traceback
            yield error
