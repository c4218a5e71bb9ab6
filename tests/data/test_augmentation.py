"""Each random change does what it says, within its bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train
from torch import Tensor

from vitas_hw.core.errors import InputError
from vitas_hw.data.augmentation import Augmentation, Augmented, rngs_as_they_were, seed_rngs
from vitas_hw.data.moves import Moves, moved
from vitas_hw.data.preprocessing import Preprocessing

HOW = Preprocessing((32, 32), (0.5,), (0.5,), "bilinear")


def draws(augmentation: Augmentation, image: np.ndarray, count: int = 20, how: Preprocessing = HOW) -> Tensor:
    raw = Augmented(augmentation, how)([Image.fromarray(image)] * count, ((index,) for index in range(count)))
    return raw.inputs(how)


@pytest.fixture
def blob() -> np.ndarray:
    """A smooth spot right of the middle, on a dark gray ground."""
    y, x = np.mgrid[:32, :32]
    return (40 + 200 * np.exp(-((x - 20) ** 2 + (y - 16) ** 2) / 20)).astype(np.uint8)


def centre(images: Tensor) -> Tensor:
    """(N, 2) centre of brightness, x and y."""
    weights = (images[:, 0] - images[:, 0].amin((1, 2), keepdim=True)) ** 4
    weights = weights / weights.sum((1, 2), keepdim=True)
    steps = torch.arange(32.0)
    return torch.stack([(weights.sum(1) * steps).sum(1), (weights.sum(2) * steps).sum(1)], 1)


def test_off_is_off_and_the_input_is_preprocessed() -> None:
    assert not Augmentation().any
    for field, value in [("hflip", 0.1), ("crop_scale", (0.5, 1.0)), ("auto_augment", "rand-m1"), ("max_scale", 0.1)]:
        assert Augmentation(**{field: value}).any  # type: ignore[arg-type]


def test_a_shift_stays_within_its_share(blob: np.ndarray) -> None:
    moved = centre(draws(Augmentation(max_shift=0.125), blob, 60)) - torch.tensor([20.0, 16.0])
    assert moved.abs().max() < 4.2
    assert moved.amax(0).min() > 2
    assert moved.amin(0).max() < -2


def test_a_rotation_stays_within_its_angle(blob: np.ndarray) -> None:
    x, y = (centre(draws(Augmentation(max_rotation=30), blob, 60)) - 15.5).T
    angles = torch.rad2deg(torch.atan2(y, x)) - float(np.rad2deg(np.arctan2(0.5, 4.5)))
    assert 20 < angles.abs().max() < 33
    assert angles.min() < -10
    assert angles.max() > 10


def test_a_scale_moves_things_to_or_from_the_middle(blob: np.ndarray) -> None:
    x, y = (centre(draws(Augmentation(max_scale=0.3), blob, 60)) - 15.5).T
    assert 2.8 < x.min() < 3.8
    assert 5.2 < x.max() < 6.2
    assert y.abs().max() < 1


def test_what_comes_in_from_outside_repeats_the_border() -> None:
    bright = np.full((32, 32), 255, np.uint8)
    assert draws(Augmentation(max_shift=1.0, max_rotation=180, max_scale=0.9), bright, 50).min() == 1.0


def test_flips_crops_and_erasing(blob: np.ndarray) -> None:
    plain = HOW.normalise(HOW.pixels(Image.fromarray(blob))[None])
    flipped = draws(Augmentation(hflip=0.5), blob, 60)
    are = [torch.equal(image, plain[0].flip(-1)) for image in flipped]
    assert 15 < sum(are) < 45
    assert all(torch.equal(image, plain[0]) for image, is_flipped in zip(flipped, are, strict=True) if not is_flipped)
    erased = draws(Augmentation(erasing=1.0), blob)
    shares = (erased != plain).float().mean((1, 2, 3))
    assert 0.01 < shares.min() < shares.max() < 0.4
    cropped = draws(Augmentation(crop_scale=(0.1, 0.1)), blob)
    assert cropped.std((1, 2, 3)).min() < plain.std() / 2  # some crops miss the spot


@pytest.mark.parametrize("policy", [None, "rand-m9-mstd0.5-inc1", "augmix-m5"])
def test_pixels_are_those_of_timms_own_transforms_image_by_image(policy: str | None) -> None:
    """timm normalises and erases each image after its other draws; a batch that is normalised and erased at once, in
    another process, has the same pixels, to the bit.
    """
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 40, 50, 3), np.uint8)
    images = [Image.fromarray(one) for one in pixels]
    given = {"scale": (0.2, 1.0), "hflip": 0.5, "auto_augment": policy, "interpolation": "bicubic"}
    timms = transforms_imagenet_train(
        (32, 32), color_jitter=None, mean=mean, std=std, re_prob=0.5, re_mode="pixel", **given
    )
    expected = []
    with rngs_as_they_were():
        for number, image in enumerate(images):
            seed_rngs(7, number)
            expected.append(timms(image))
    how = Preprocessing((32, 32), mean, std, "bicubic")
    augmentation = Augmentation(crop_scale=(0.2, 1.0), hflip=0.5, auto_augment=policy, erasing=0.5)
    raw = Augmented(augmentation, how)(images, ((7, number) for number in range(12)))
    assert raw.pixels.dtype == torch.uint8
    assert raw.erased is not None
    assert 2 < len(raw.erased.places) < 10
    assert torch.equal(raw.inputs(how), torch.stack(expected))


def test_a_batch_can_be_normalised_twice(blob: np.ndarray) -> None:
    """Normalising works in place, but never on what it is given, be it of 8 bits or interpolated."""
    for pixels in (torch.from_numpy(blob)[None, None], torch.from_numpy(blob)[None, None].float()):
        before = pixels.clone()
        assert torch.equal(HOW.normalise(pixels), HOW.normalise(pixels))
        assert torch.equal(pixels, before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("text", ["rand-m9-mstd0.5-inc1", "rand-m10-inc1", "original", "v0", "3a", "augmix-m5"])
def test_every_policy_of_timm_works_on_gray_and_rgb(blob: np.ndarray, text: str, channels: int) -> None:
    how = replace(HOW, mean=(0.5,) * channels, std=(0.5,) * channels)
    images = draws(Augmentation(auto_augment=text), blob, 40, how)
    assert images.shape == (40, channels, 32, 32)
    assert len({image.numpy().tobytes() for image in images}) > 5
    assert images.abs().max() <= 1


def test_color_jitter_is_kept_beside_a_policy(blob: np.ndarray) -> None:
    policy = Augmentation(auto_augment="rand-m1-n1-p0.0")
    assert torch.equal(draws(policy, blob)[0], draws(policy, blob)[1])
    images = draws(replace(policy, color_jitter=0.4), blob)
    assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"crop_scale": (0.0, 1.0)}, "crop_scale"),
        ({"crop_scale": (0.9, 0.5)}, "crop_scale"),
        ({"crop_scale": (0.5, 1.5)}, "crop_scale"),
        ({"crop_scale": (0.5,)}, "crop_scale"),
        ({"hflip": 1.5}, "hflip"),
        ({"hflip": float("nan")}, "hflip"),
        ({"color_jitter": -0.1}, "color_jitter"),
        ({"erasing": -0.1}, "erasing"),
        ({"max_shift": 1.1}, "max_shift"),
        ({"max_rotation": 181}, "max_rotation"),
        ({"max_scale": 1.0}, "max_scale"),
        ({"auto_augment": "nonsense"}, "auto_augment"),
        ({"auto_augment": "rand-q7"}, "auto_augment"),
        ({"auto_augment": ""}, "auto_augment"),
    ],
)
def test_an_impossible_value_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Augmentation(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
@pytest.mark.parametrize(("angle", "right", "down", "scale"), [(17, 0, 0, 1), (0, 5, -3, 1), (-30, 4, 2, 0.8)])
def test_a_batch_in_memory_moves_as_torchvision_moves_one_image(
    shape: tuple[int, int], angle: float, right: float, down: float, scale: float
) -> None:
    """A turn the other way, a shift before the turn, or a middle half a pixel off would differ by far more."""
    from torchvision.transforms.functional import InterpolationMode, affine

    y, x = np.mgrid[: shape[0], : shape[1]]
    image = torch.from_numpy(40 + 200 * np.exp(-((x - 20) ** 2 + (y - 9) ** 2) / 30)).float()[None, None]
    one, margin = (lambda value: torch.tensor([float(value)])), 40
    found = moved(image, angle=one(angle), shift=(one(right), one(down)), scale=one(scale))
    framed = torch.nn.functional.pad(image, (margin,) * 4, mode="replicate")
    expected = affine(framed, angle, [right, down], scale, [0.0, 0.0], InterpolationMode.BILINEAR)
    torch.testing.assert_close(found, expected[..., margin:-margin, margin:-margin], rtol=0, atol=0.05)
    assert (found - image).abs().max() > 20


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_moves_reach_the_bounds_that_single_images_have(blob: np.ndarray, flip: float) -> None:
    images = torch.from_numpy(blob)[None, None].expand(400, -1, -1, -1)
    middle = (11.0, 16.0) if flip else (20.0, 16.0)  # columns count from 0 to 31

    def bounds(**how: float) -> Tensor:
        many = Moves(Augmentation(hflip=flip, **how), 0, 0, 400)(images, list(range(400)))  # type: ignore[arg-type]
        return centre(many.float()) - torch.tensor(middle)

    assert bounds().abs().max() < 0.01
    shifts = bounds(max_shift=0.125)
    assert shifts.abs().max() < 4.2
    assert shifts.amax(0).min() > 3.5
    assert shifts.amin(0).max() < -3.5
    x, y = (bounds(max_rotation=30) + torch.tensor(middle) - 15.5).T
    angles = torch.rad2deg(torch.atan2(y, x.abs()))
    assert 28 < angles.max() < 38  # the spot lies 6 degrees off the axis
    assert -26 < angles.min() < -20
    scaled = (bounds(max_scale=0.3) + torch.tensor(middle) - 15.5)[:, 0].abs()
    assert 2.8 < scaled.min() < 3.5
    assert 5.5 < scaled.max() < 6.2


def test_what_an_image_draws_depends_on_seed_epoch_and_its_index_alone(blob: np.ndarray) -> None:
    how, images = Augmentation(max_rotation=30, hflip=0.5), torch.from_numpy(blob)[None, None].repeat(4, 1, 1, 1)
    four = Moves(how, 3, 5, 9)(images, [8, 0, 2, 3])
    assert torch.equal(Moves(how, 3, 5, 100)(images[:2], [2, 8]), four[[2, 0]])
    assert not torch.equal(four[0], four[1])
    for seed, epoch in [(3, 6), (4, 5)]:
        assert not torch.equal(Moves(how, seed, epoch, 9)(images, [8, 0, 2, 3]), four)
