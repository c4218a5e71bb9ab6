"""The parts of a data set: what is evaluated on, and what is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from vitas_hw.core.errors import InputError
from vitas_hw.training.augmentation import Augmentation
from vitas_hw.training.preprocessing import Preprocessing

Batch = tuple[Tensor, Tensor]


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
class Split:
    """N images to evaluate on, decoded once.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        indices: (N,) in the source.
        preprocessing: what normalises them.
    """

    images: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """The same, kept on a device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Normalised images (B, C, H, W) float32 and labels (B,), in order; the last batch may be smaller."""
        for images, labels in zip(
            torch.split(self.images, batch_size), torch.split(self.labels, batch_size), strict=True
        ):
            yield self.preprocessing.normalise(images), labels

    def inputs(self) -> Tensor:
        """All of them, normalised: (N, C, H, W) float32."""
        return self.preprocessing.normalise(self.images)

    def subset(self, positions: Sequence[int]) -> Split:
        """Those at ``positions`` of this split, in that order."""
        chosen = torch.tensor(list(positions), dtype=torch.int64, device=self.labels.device)
        indices = tuple(self.indices[position] for position in positions)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], indices=indices)


class TrainPart(Protocol):
    """What is trained on: an ``IndexedPart`` or a ``StreamedPart``."""

    @property
    def indices(self) -> tuple[int, ...]:
        """In the source; none for a stream."""

    @property
    def can_skip(self) -> bool:
        """Whether an epoch can be entered in its middle."""

    def __len__(self) -> int: ...

    def steps(self, batch_size: int, world: int = 1, accumulate: int = 1) -> int:
        """Steps an epoch: batches of ``batch_size`` images over all ranks, or groups of ``accumulate`` of them."""

    def batches(
        self,
        *,
        epoch: int,
        seed: int,
        batch_size: int,
        augmentation: Augmentation,
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
        workers: int = 0,
    ) -> Iterator[Batch]:
        """One epoch of normalised images (B, C, H, W) float32 and labels (B,) int64, on the CPU.

        Args:
            epoch, seed: fix the order and every random change.
            batch_size: images a step over all ranks; a multiple of ``world``.
            augmentation: of each image.
            rank, world: this process takes every ``world``-th image of each step, from the ``rank``-th on.
            skip: leave out this many steps at the start.
            workers: processes that decode; 0 is none beside this one.

        Raises:
            InputError: impossible numbers.
            FileError: an image that cannot be read, by name.
        """


def step_sizes(count: int, batch_size: int, world: int = 1, rank: int = 0) -> list[int]:
    """Images of each step of an epoch over all ranks. Raises InputError on numbers that do not fit together."""
    if world < 1 or not 0 <= rank < world or batch_size < 1 or batch_size % world:
        raise InputError(
            f"The batch size {batch_size} must be a multiple of the {world} processes (this is number {rank})."
        )
    full, rest = divmod(count, batch_size)
    rest -= rest % world
    return [batch_size] * full + ([rest] if rest else [])
