"""How an image becomes the model's input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # what classifies with an exported file needs no torch
    from torch import Tensor

_MOST_PIXELS = 2**26  # of a resized image, of which most is cropped away
INTERPOLATIONS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Preprocessing:
    """Resize until the image covers ``image_size / crop_pct``, crop the middle, divide by 255, subtract mean, divide
    by std.

    Args:
        image_size: (height, width) of the model's input.
        mean, std: one per channel, of values in 0 to 1.
        interpolation: ``"bilinear"`` or ``"bicubic"``, as Pillow does it.
        crop_pct: share of the resized image's side that the crop keeps; with 1 a square image is only resized.
    """

    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float = 1.0

    @property
    def channels(self) -> int:
        return len(self.mean)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def convert(self, image: Image.Image) -> Image.Image:
        """Gray (1 channel) or RGB (3)."""
        mode = "L" if self.channels == 1 else "RGB"
        return image if image.mode == mode else image.convert(mode)  # which would copy it

    def fit(self, image: Image.Image) -> Image.Image:
        """Converted to gray (1 channel) or RGB (3), resized and cropped to ``image_size``, still 8-bit."""
        image = self.convert(image)
        height, width = self.image_size
        scale = max(height / image.height, width / image.width) / self.crop_pct
        covering = max(round(image.width * scale), width), max(round(image.height * scale), height)
        if covering[0] * covering[1] > _MOST_PIXELS:  # of a strip a few pixels wide: all but its middle is cut away
            kept = min(image.width, ceil(width / scale)), min(image.height, ceil(height / scale))
            left, top = (image.width - kept[0]) // 2, (image.height - kept[1]) // 2
            image = image.crop((left, top, left + kept[0], top + kept[1]))
            covering = max(round(kept[0] * scale), width), max(round(kept[1] * scale), height)
        if covering != image.size:
            image = image.resize(covering, INTERPOLATIONS[self.interpolation])
        left, top = round((covering[0] - width) / 2), round((covering[1] - height) / 2)
        return image.crop((left, top, left + width, top + height)) if covering != (width, height) else image

    def pixels(self, image: Image.Image) -> Tensor:
        """(C, H, W) uint8, see ``fit``."""
        import torch

        pixels = torch.empty((self.channels, *self.image_size), dtype=torch.uint8)
        write_pixels(self.fit(image), pixels)
        return pixels

    def normalise(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8, or float32 in 0 to 255, to float32, on their device."""
        import torch

        def column(values: tuple[float, ...]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=images.device)[:, None, None]

        # 255 as a tensor: CUDA multiplies by the reciprocal of a plain number, which differs from what the CPU does
        # in place: on a CPU, fresh memory for each step costs more than what is done to it
        inputs = images.to(torch.float32, copy=True)
        return inputs.div_(column((255.0,))).sub_(column(self.mean)).div_(column(self.std))


def write_pixels(image: Image.Image, into: Tensor) -> None:
    """A gray or RGB image to (C, H, W) uint8; Pillow takes its bands apart in half the time of moving axes."""
    pixels = into.numpy()
    for place, band in enumerate(image.getbands()):
        pixels[place] = np.frombuffer(image.tobytes("raw", band), np.uint8).reshape(pixels.shape[1:])
