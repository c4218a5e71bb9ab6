"""Random flips, shifts, rotations and scales of images in memory, a whole batch at a time."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vitas_hw.data.augmentation import Augmentation

_DRAWN = 5  # numbers an image: flip, angle, shift to the right, shift down, scale
_STREAM = (4, 1)  # sets these draws apart from others of the same seed and epoch


class Moves:
    """What ``Augmentation.transform`` does where ``Augmentation.moves_only``, up to its rounding to 8 bits, for
    small images some thirty times as fast.

    Args:
        augmentation: draws nothing but flips, shifts, rotations and scales.
        seed, epoch: fix, with an image's index, what is drawn for it.
        count: of images, all indices below it.
    """

    def __init__(self, augmentation: Augmentation, seed: int, epoch: int, count: int) -> None:
        self._how = augmentation
        # row by row, so that what an image draws does not depend on the count
        self._drawn = np.random.default_rng([seed, epoch, *_STREAM]).random((count, _DRAWN))

    def __call__(self, images: Tensor, indices: list[int]) -> Tensor:
        """(N, C, H, W) uint8 to the same, or to float32 in 0 to 255 where they are interpolated."""
        how, drawn = self._how, torch.from_numpy(self._drawn[indices])
        flipped = drawn[:, 0] < how.hflip
        if flipped.any():
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
        if not how.interpolates:
            return images
        height, width = images.shape[-2:]
        angle, right, down, scale = (2 * drawn[:, 1:] - 1).T
        return moved(
            images.float(),
            angle=angle * how.max_rotation,
            shift=(torch.round(right * how.max_shift * width), torch.round(down * how.max_shift * height)),
            scale=1 + scale * how.max_scale,
        )


def moved(images: Tensor, *, angle: Tensor, shift: tuple[Tensor, Tensor], scale: Tensor) -> Tensor:
    """Images turned and scaled about their middle, then shifted; what comes in from outside repeats the border.

    Args:
        images: (N, C, H, W) float32.
        angle: (N,) degrees, clockwise.
        shift: (N,) pixels to the right, and down.
        scale: (N,) above 1 is larger.
    """
    height, width = images.shape[-2:]
    cos, sin = (function(torch.deg2rad(angle)) / scale for function in (torch.cos, torch.sin))
    right, down = shift
    # where an output pixel comes from, both in halves of the image's sides from its middle, as grid_sample counts
    rows = (
        torch.stack([cos, sin * height / width, -(cos * right + sin * down) * 2 / width], 1),
        torch.stack([-sin * width / height, cos, (sin * right - cos * down) * 2 / height], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1).float(), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
