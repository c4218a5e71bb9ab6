"""The parts of a data set: what is evaluated on, and what is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.data.augmentation import Augmentation, Augmented, Raw
from vitas_hw.data.decoding import Decoding, decode
from vitas_hw.data.moves import Moves
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.sources import Source

Batch = tuple[Tensor, Tensor]
_AT_ONCE = 256  # images that are decoded before anyone is asked whether to go on
_ON_DEVICE_BYTES = 2**30  # of images to evaluate on that a GPU keeps


@dataclass(frozen=True)
class Split:
    """N images to evaluate on, each decoded once, when it is first asked for.

    Args:
        pixels: (N, C, H, W) uint8, or what decodes them.
        labels: (N,) int64.
        indices: (N,) in the source.
        preprocessing: what normalises them.
        positions: (N,) which of ``pixels`` these are; None is all.
    """

    pixels: Tensor | Decoding
    labels: Tensor
    indices: tuple[int, ...]
    preprocessing: Preprocessing
    positions: tuple[int, ...] | None = None

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8. Raises FileError, which names the image, if one cannot be read."""
        if isinstance(self.pixels, Decoding):
            return self.pixels.take(self.positions)
        return self.pixels if self.positions is None else self.pixels[list(self.positions)]

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets the images, not the way to decode them again."""
        return Split, (self.images, self.labels, self.indices, self.preprocessing)

    def ready(self, between: Callable[[], None] = lambda: None) -> None:
        """Decode now what is not decoded yet: a broken image is an error here, not in hours.

        ``between`` is called now and then where files are read, and may raise: what is decoded by then stays so.
        """
        if isinstance(self.pixels, Decoding) and not self.pixels.source.in_memory:
            own = range(len(self)) if self.positions is None else self.positions
            for start in range(0, len(self), _AT_ONCE):
                if start:
                    between()
                self.pixels.take(own[start : start + _AT_ONCE])
        self.images  # noqa: B018

    def to(self, device: torch.device | str) -> Split:
        """The same for evaluating on a device: few images are kept there, of many each batch is moved."""
        labels = self.labels.to(device)
        if labels.device == self.labels.device:
            return self
        images = self.images
        if images.numel() <= _ON_DEVICE_BYTES:
            images = images.to(device)
        return Split(images, labels, self.indices, self.preprocessing)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Normalised images (B, C, H, W) float32 and labels (B,), in order; the last batch may be smaller."""
        for images, labels in zip(
            torch.split(self.images, batch_size), torch.split(self.labels, batch_size), strict=True
        ):
            yield self.preprocessing.normalise(images.to(labels.device)), labels

    def subset(self, positions: Sequence[int]) -> Split:
        """Those at ``positions`` of this split, in that order."""
        own = range(len(self)) if self.positions is None else self.positions
        chosen = torch.tensor(list(positions), dtype=torch.int64, device=self.labels.device)
        return replace(
            self,
            labels=self.labels[chosen],
            indices=tuple(self.indices[position] for position in positions),
            positions=tuple(own[position] for position in positions),
        )


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One epoch over a train part.

    Args:
        epoch, seed: fix the order and every random change.
        batch_size: images a step over all ranks; a multiple of ``world``.
        augmentation: of each image.
        rank, world: this process takes every ``world``-th image of each step, from the ``rank``-th on.
        skip: leave out this many steps at the start.
        workers: processes that decode; 0 is none beside this one.
        device: where batches are normalised and handed over.
    """

    epoch: int
    seed: int
    batch_size: int
    augmentation: Augmentation
    rank: int = 0
    world: int = 1
    skip: int = 0
    workers: int = 0
    device: str = "cpu"


class TrainPart(Protocol):
    """What is trained on: an ``IndexedPart`` or a ``StreamedPart``."""

    @property
    def indices(self) -> tuple[int, ...]:
        """In the source; none for a stream."""

    @property
    def can_skip(self) -> bool:
        """Whether an epoch can be entered in its middle."""

    def __len__(self) -> int: ...

    def batches(self, how: Pass) -> Iterator[Batch]:
        """One epoch of normalised images (B, C, H, W) float32 and labels (B,) int64, on the pass's device.

        Raises:
            InputError: impossible numbers.
            FileError: an image that cannot be read, by name.
        """


def steps(part: TrainPart, batch_size: int, world: int = 1, accumulate: int = 1) -> int:
    """Steps an epoch: batches of ``batch_size`` images over all ranks, or groups of ``accumulate`` of them."""
    return -(-len(step_sizes(len(part), batch_size, world)) // accumulate)


def step_sizes(count: int, batch_size: int, world: int = 1, rank: int = 0) -> list[int]:
    """Images of each step of an epoch over all ranks. Raises InputError on numbers that do not fit together."""
    if world < 1 or not 0 <= rank < world or batch_size < 1 or batch_size % world:
        raise InputError(
            f"The batch size {batch_size} must be a multiple of the {world} processes (this is number {rank})."
        )
    full, rest = divmod(count, batch_size)
    rest -= rest % world
    return [batch_size] * full + ([rest] if rest else [])


@dataclass(frozen=True)
class IndexedPart:
    """A train part with random access.

    Step k of an epoch takes places k B to (k + 1) B of one permutation of the part, fixed by seed and epoch; the last,
    smaller step is cut to a multiple of the ranks. Random changes of an image depend on seed, epoch and its index in
    the source only: neither ranks, nor workers, nor skipped steps change a pixel. Global RNGs stay as they were.

    Args:
        source: of the images.
        indices: (N,) those that belong to the part.
        preprocessing: how they become inputs.
        keep: whether ``images``, once decoded, stay in memory: they fit.
    """

    source: Source
    indices: tuple[int, ...]
    preprocessing: Preprocessing
    keep: bool = False
    can_skip = True

    @cached_property
    def labels(self) -> Tensor:
        """(N,) int64."""
        return self.source.labels[list(self.indices)]

    @cached_property
    def images(self) -> Tensor:
        """(N, C, H, W) uint8, preprocessed."""
        return decode(self.source, self.indices, self.preprocessing)

    def __len__(self) -> int:
        return len(self.indices)

    def subset(self, positions: Sequence[int]) -> IndexedPart:
        """The images at ``positions`` of this part, in that order."""
        return replace(self, indices=tuple(self.indices[position] for position in positions))

    def batches(self, how: Pass) -> Iterator[Batch]:
        """See ``TrainPart``."""
        size = how.batch_size
        sizes = step_sizes(len(self), size, how.world, how.rank)
        order = np.random.default_rng([how.seed, how.epoch]).permutation(len(self))
        chosen = [
            order[step * size : step * size + kept][how.rank :: how.world].tolist() for step, kept in enumerate(sizes)
        ][how.skip :]
        if self.keep and how.augmentation.moves_only:
            return self._kept(how, chosen)
        # not timm's create_loader: it takes no sampler, so it could not go on in the middle of an epoch
        return loaded(
            _Decoded(self, how), self.preprocessing, how.device, batch_sampler=chosen, num_workers=how.workers
        )

    def _kept(self, how: Pass, chosen: list[list[int]]) -> Iterator[Batch]:
        """Batches of what is in memory; images at a time would take longer than training a small model on them."""
        drawn = Moves(how.augmentation, how.seed, how.epoch, max(self.indices) + 1) if how.augmentation.any else None
        for few in chosen:
            images = self.images[few]
            if drawn is not None:
                images = drawn(images, [self.indices[position] for position in few])
            yield Raw(images).inputs(self.preprocessing, how.device), self.labels[few].to(how.device)


class _Decoded(torch.utils.data.Dataset[Any]):
    """Whole batches of an ``IndexedPart``, in this process or a worker."""

    def __init__(self, part: IndexedPart, how: Pass) -> None:
        self.part, self.how = part, how
        self.augmented: Augmented | None = None

    def __getitems__(self, positions: list[int]) -> tuple[Raw, Tensor] | VitasError:
        """An error is handed over as it is: torch would wrap what a worker raises in its traceback."""
        part = self.part
        indices = [part.indices[position] for position in positions]
        self.augmented = self.augmented or Augmented(self.how.augmentation, part.preprocessing)
        words = ((self.how.seed, self.how.epoch, index) for index in indices)
        try:
            return self.augmented(map(part.source.image, indices), words), part.labels[positions]
        except VitasError as error:
            return error


def loaded(
    dataset: torch.utils.data.Dataset[Any], preprocessing: Preprocessing, device: str, **options: Any
) -> Iterator[Batch]:
    """What torch's ``DataLoader`` gives of whole batches (``Raw``, labels), normalised on the device; raises the
    VitasErrors among them.
    """
    from torch.utils.data import DataLoader

    pinned = device.startswith("cuda")
    # a generator of its own: the loader would draw from torch's global one
    loader: Any = DataLoader(dataset, collate_fn=_as_is, generator=torch.Generator(), pin_memory=pinned, **options)
    for batch in loader:
        if isinstance(batch, VitasError):
            raise batch
        raw, labels = batch
        yield raw.inputs(preprocessing, device), labels.to(device, non_blocking=pinned)


def _as_is(batch: Any) -> Any:
    return batch
