"""Random erasing, in two halves: what to write where is drawn beside decoding, and written after normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Patches(NamedTuple):
    """Rectangles of noise for a batch of normalised images.

    Args:
        places: of each: which image, its first row and column, the height and the width.
        noise: float32, normal: the values of all rectangles (C, height, width), one after the other.
    """

    places: list[tuple[int, ...]]
    noise: Tensor

    def write_into(self, images: Tensor) -> None:
        """Into (N, C, H, W) float32 on any device."""
        noise, start = self.noise.to(images.device, non_blocking=True), 0
        for image, top, left, height, width in self.places:
            rectangle = images[image, :, top : top + height, left : left + width]
            rectangle.copy_(noise[start : start + rectangle.numel()].view_as(rectangle))
            start += rectangle.numel()


class Erasing:
    """timm's ``RandomErasing`` with noise in every pixel.

    Args:
        probability: of one rectangle in an image.
        shape: (C, H, W) of the images.
    """

    def __init__(self, probability: float, shape: tuple[int, int, int]) -> None:
        from timm.data.random_erasing import RandomErasing

        self._timms: Any = RandomErasing(probability, mode="pixel", device="cpu")
        self._shape = shape
        self._drawn: list[tuple[tuple[int, ...], Tensor]] = []

    def draw(self, image: int) -> None:
        """What the image of this number in the batch draws, from the global RNGs; kept until ``patches``."""
        notes = _Notes(self._shape)
        self._timms(notes)
        self._drawn += [((image, *place), noise) for place, noise in notes.written]

    def patches(self) -> Patches | None:
        """All that was drawn since the last call."""
        drawn, self._drawn = self._drawn, []
        if not drawn:
            return None
        return Patches([place for place, _ in drawn], torch.cat([noise.flatten() for _, noise in drawn]))


class _Notes:
    """Stands before timm's ``RandomErasing`` as an image (C, H, W), and notes what is written into it."""

    dtype = torch.float32

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self.written: list[tuple[tuple[int, ...], Tensor]] = []

    def size(self) -> tuple[int, int, int]:
        return self._shape

    def __setitem__(self, where: tuple[slice, slice, slice], noise: Tensor) -> None:
        _, rows, columns = where
        self.written.append(((rows.start, columns.start, *noise.shape[1:]), noise))
