"""Random changes of training images: timm's and torchvision's transforms, drawn per image."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import invalid
from vitas_hw.core.settings import setting, settings

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from vitas_hw.data.erasing import Patches
    from vitas_hw.data.preprocessing import Preprocessing


@settings
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
    hflip: float = setting(default=0.0, at_least=0, at_most=1)
    color_jitter: float = setting(default=0.0, at_least=0)
    auto_augment: str | None = None
    erasing: float = setting(default=0.0, at_least=0, at_most=1)
    max_shift: float = setting(default=0.0, at_least=0, at_most=1)
    max_rotation: float = setting(default=0.0, at_least=0, at_most=180)
    max_scale: float = setting(default=0.0, at_least=0, below=1)

    def __post_init__(self) -> None:
        if (crop := self.crop_scale) is not None and not (len(crop) == 2 and 0 < crop[0] <= crop[1] <= 1):
            raise invalid("crop_scale", crop, "two shares of the area, 0 < least <= most <= 1")
        if self.auto_augment is not None:
            _check_auto_augment(self.auto_augment)

    @property
    def any(self) -> bool:
        """Whether anything is drawn at all."""
        return any(bool(getattr(self, field.name)) for field in fields(self))

    @property
    def interpolates(self) -> bool:
        """Whether images are shifted, rotated or scaled."""
        return bool(self.max_shift or self.max_rotation or self.max_scale)

    @property
    def moves_only(self) -> bool:
        """Whether nothing but flips, shifts, rotations and scales is drawn: see ``data/moves.py``."""
        return not (self.crop_scale or self.color_jitter or self.auto_augment or self.erasing)

    def transform(self, preprocessing: Preprocessing) -> Callable[[Image.Image], Image.Image]:
        """From a decoded image to one of 8 bits and the model's size, all changed but for erasing; draws from the
        global RNGs, see ``rngs_as_they_were`` and ``seed_rngs``.
        """
        from timm.data.auto_augment import posterize
        from timm.data.transforms_factory import transforms_imagenet_train
        from torchvision import transforms

        # timm's stages: crop and flip; colours; the third would make tensors
        crop, colours, _ = transforms_imagenet_train(
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
        )
        for operation in _operations(colours):
            if operation.aug_fn is posterize:
                operation.aug_fn = _posterize
        stages = [preprocessing.convert, crop]
        if self.crop_scale is None:  # timm always crops
            stages = [preprocessing.fit, transforms.RandomHorizontalFlip(self.hflip)]
        stages += [*self._affine(preprocessing.image_size), colours]
        composed: Callable[[Image.Image], Image.Image] = transforms.Compose(stages)
        return composed

    def _affine(self, image_size: tuple[int, int]) -> list[Any]:
        if not self.interpolates:
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
        hint = "For example rand-m9-mstd0.5-inc1, or original."
        raise invalid("auto_augment", text, "one of timm's strings", hint) from error


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
    seed_rngs_by(words_mixed(words))


def words_mixed(words: tuple[int, ...]) -> npt.NDArray[np.uint32]:
    """(4,) what ``seed_rngs`` makes of its words."""
    mixed: npt.NDArray[Any] = np.random.SeedSequence(words).generate_state(4)
    return mixed


def seed_rngs_by(mixed: npt.NDArray[np.uint32], *, numpys: bool = True) -> None:
    """The second half of ``seed_rngs``; numpy's, the slowest to seed, may be left alone."""
    import torch

    random.seed(mixed.tobytes())
    if numpys:
        np.random.seed(mixed)  # noqa: NPY002
    torch.default_generator.manual_seed(int(mixed[0]) << 32 | int(mixed[1]))  # torch.manual_seed: CUDA's too


class Raw(NamedTuple):
    """A batch as a worker hands it over: a quarter of the bytes of what the model takes.

    Args:
        pixels: (N, C, H, W) uint8, or float32 in 0 to 255.
        erased: what noise replaces once they are normalised.
    """

    pixels: Tensor
    erased: Patches | None = None

    def inputs(self, preprocessing: Preprocessing, device: str = "cpu") -> Tensor:
        """(N, C, H, W) float32, normalised and erased on the device; the same on every one."""
        images = preprocessing.normalise(self.pixels.to(device, non_blocking=True))
        if self.erased is not None:
            self.erased.write_into(images)
        return images


class Augmented:
    """Decoded images to augmented ones of the model's size; global RNGs stay as they were."""

    def __init__(self, augmentation: Augmentation, preprocessing: Preprocessing) -> None:
        import torch

        from vitas_hw.data.erasing import Erasing

        self._how, shape = preprocessing, (preprocessing.channels, *preprocessing.image_size)
        self._any = augmentation.any
        self._transform = augmentation.transform(preprocessing) if self._any else preprocessing.fit
        self._numpys = augmentation.auto_augment is not None  # timm's policies alone draw from numpy's RNG
        self._erasing = Erasing(augmentation.erasing, shape)
        self._pixels = torch.empty((0, *shape), dtype=torch.uint8)

    def __call__(self, images: Iterable[Image.Image], words: Iterable[tuple[int, ...]]) -> Raw:
        """``words``, as many as there are images, seed what is drawn for each, see ``seed_rngs``."""
        import torch

        from vitas_hw.data.preprocessing import write_pixels

        mixed = [words_mixed(own) for own in words]  # all at once: between two images it takes ten times as long
        if len(self._pixels) < len(mixed):  # the same memory for every batch: fresh pages cost more than copying
            self._pixels = torch.empty((len(mixed), *self._pixels.shape[1:]), dtype=torch.uint8)
        with rngs_as_they_were():
            for number, (image, own) in enumerate(zip(images, mixed, strict=True)):
                if self._any:
                    seed_rngs_by(own, numpys=self._numpys)
                write_pixels(self._transform(image), self._pixels[number])
                if self._any:
                    self._erasing.draw(number)
        # in a worker straight into the shared memory that a batch is sent by: a clone would be copied there once more
        batch: Tensor = torch.utils.data.default_collate([*self._pixels[: len(mixed)]])
        return Raw(batch, self._erasing.patches())
