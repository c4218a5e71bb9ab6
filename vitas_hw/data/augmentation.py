"""Random changes of training images: timm's and torchvision's transforms, drawn per image."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vitas_hw.core.errors import InputError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vitas_hw.data.preprocessing import Preprocessing

_SHARES = ("hflip", "erasing", "max_shift")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is drawn at random for each training image; all off by default.

    Args:
        crop_scale: (least, most) share of the image's area that a crop keeps before it is resized.
        hflip: probability of a mirror image.
        color_jitter: brightness, contrast and saturation change by up to this share.
        auto_augment: timm's string, for example ``"rand-m9-mstd0.5-inc1"``.
        erasing: probability that noise replaces a rectangle.
        max_shift: largest shift, as a share of the side.
        max_rotation: largest rotation, in degrees.
        max_scale: largest change of scale, as a share of 1.

    What a shift, rotation or scale brings in from outside repeats the border. Raises InputError on an impossible value.
    """

    crop_scale: tuple[float, float] | None = None
    hflip: float = 0.0
    color_jitter: float = 0.0
    auto_augment: str | None = None
    erasing: float = 0.0
    max_shift: float = 0.0
    max_rotation: float = 0.0
    max_scale: float = 0.0

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} of an augmentation is between 0 and 1, not {getattr(self, name)}.")
        if not 0 <= self.max_rotation <= 180:
            raise InputError(f"max_rotation of an augmentation is 0 to 180 degrees, not {self.max_rotation}.")
        if not 0 <= self.max_scale < 1:
            raise InputError(f"max_scale of an augmentation is at least 0 and below 1, not {self.max_scale}.")
        if not 0 <= self.color_jitter < math.inf:
            raise InputError(f"color_jitter of an augmentation is a number from 0 on, not {self.color_jitter}.")
        if self.crop_scale is not None and not (
            len(self.crop_scale) == 2 and 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1
        ):
            raise InputError(
                f"crop_scale of an augmentation is two shares of the area, 0 < least <= most <= 1, not"
                f" {self.crop_scale}."
            )
        if self.auto_augment is not None:
            _check_auto_augment(self.auto_augment)

    @property
    def any(self) -> bool:
        """Whether anything is drawn at all."""
        return any(bool(getattr(self, field.name)) for field in fields(self))

    def transform(self, preprocessing: Preprocessing) -> Callable[[Image.Image], Tensor]:
        """From a decoded image to an augmented, normalised (C, H, W) float32; draws from the global RNGs, see
        ``rngs_as_they_were`` and ``seed_rngs``.
        """
        from timm.data.auto_augment import posterize
        from timm.data.transforms_factory import transforms_imagenet_train
        from torchvision import transforms

        # timm's three stages: crop and flip; colours; tensor, normalisation and erasing
        crop, colours, finish = transforms_imagenet_train(
            preprocessing.image_size,
            separate=True,
            scale=self.crop_scale,
            hflip=self.hflip,
            color_jitter=self.color_jitter or None,
            force_color_jitter=True,  # timm drops it beside auto_augment without a word
            auto_augment=self.auto_augment,
            interpolation=preprocessing.interpolation,
            mean=preprocessing.mean,
            std=preprocessing.std,
            re_prob=self.erasing,
            re_mode="pixel",
        )
        for operation in _operations(colours):
            if operation.aug_fn is posterize:
                operation.aug_fn = _posterize
        stages = [_to_mode(preprocessing), crop]
        if self.crop_scale is None:  # timm always crops
            stages = [preprocessing.fit, transforms.RandomHorizontalFlip(self.hflip)]
        stages += [*self._affine(preprocessing.image_size), colours, finish]
        composed: Callable[[Image.Image], Tensor] = transforms.Compose(stages)
        return composed

    def _affine(self, image_size: tuple[int, int]) -> list[Any]:
        if not (self.max_shift or self.max_rotation or self.max_scale):
            return []
        from torchvision import transforms

        height, width = image_size
        # torchvision fills with a constant only, so the border is repeated first, as far as any map can reach
        diagonal = math.hypot(height, width)
        reach = diagonal * math.sin(math.radians(self.max_rotation) / 2) + self.max_shift * max(height, width)
        margin = math.ceil((reach + diagonal / 2 * self.max_scale) / (1 - self.max_scale)) + 1
        return [
            transforms.Pad(margin, padding_mode="edge"),
            transforms.RandomAffine(
                self.max_rotation,
                translate=(
                    self.max_shift * width / (width + 2 * margin),
                    self.max_shift * height / (height + 2 * margin),
                ),
                scale=(1 - self.max_scale, 1 + self.max_scale),
                interpolation=transforms.InterpolationMode.BILINEAR,
            ),
            transforms.CenterCrop(image_size),
        ]


def _to_mode(preprocessing: Preprocessing) -> Callable[[Image.Image], Image.Image]:
    mode = "L" if preprocessing.channels == 1 else "RGB"
    return lambda image: image.convert(mode)


def _operations(colours: Any) -> list[Any]:
    """The single operations of timm's policies, of any kind."""
    policies = [getattr(stage, "policy", [getattr(stage, "ops", [])]) for stage in colours.transforms]
    return [operation for policy in policies for operations in policy for operation in operations]


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """For timm, which asks for 0 bits at the end of its range: Pillow 13 refuses them."""
    from PIL import ImageOps

    return image if bits >= 8 else ImageOps.posterize(image, max(bits, 1))


def _check_auto_augment(text: str) -> None:
    from timm.data import auto_augment as timm_auto_augment

    makers = {"rand": "rand_augment_transform", "augmix": "augment_and_mix_transform"}
    maker = makers.get(text.split("-")[0], "auto_augment_transform")
    try:
        getattr(timm_auto_augment, maker)(text, {"img_mean": (128, 128, 128), "translate_const": 1})
    except (AssertionError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"auto_augment of an augmentation is one of timm's strings, not {text!r}.",
            "For example: rand-m9-mstd0.5-inc1, or original",
        ) from error


@contextmanager
def rngs_as_they_were() -> Iterator[None]:
    """The global RNGs of Python, numpy and torch (CPU) are put back at the end: the transforms draw from them."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def seed_rngs(*words: int) -> None:
    """Seed the same global RNGs with non-negative integers, all of which matter."""
    import torch

    state = np.random.SeedSequence(words).generate_state(4)
    random.seed(state.tobytes())
    np.random.seed(state)  # noqa: NPY002
    torch.default_generator.manual_seed(int(state[0]) << 32 | int(state[1]))  # torch.manual_seed: CUDA's too
