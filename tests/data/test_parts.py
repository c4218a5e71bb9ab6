"""The batches of a train part: what may change them, and what may not."""

from __future__ import annotations

import gc
import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.presets import preset
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.decoding import decode
from vitas_hw.data.load import load_data
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Batch, IndexedPart, Pass, steps

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on few cores
OFF = Augmentation()
EVERYTHING = Augmentation(
    crop_scale=(0.3, 1.0),
    hflip=0.5,
    color_jitter=0.3,
    auto_augment="rand-m9-mstd0.5-inc1",
    erasing=0.5,
    max_shift=0.1,
    max_rotation=20,
    max_scale=0.2,
)


@dataclass(frozen=True)
class Noise:
    """Random photographs; the ``broken``-th cannot be read."""

    labels: torch.Tensor
    class_names: tuple[str, ...] = ("a", "b")
    in_memory: bool = False
    broken: int = -1

    def image(self, index: int) -> Image.Image:
        if index == self.broken:
            raise FileError(f"image {index} is broken.", "Replace it.")
        pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
        return Image.fromarray(pixels)


def part_of(count: int, broken: int = -1) -> IndexedPart:
    labels = torch.arange(count)
    how = Preprocessing((16, 16), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic")
    return IndexedPart(Noise(labels, broken=broken), tuple(range(count)), how)


def epoch(part: IndexedPart, augmentation: Augmentation = EVERYTHING, **how: int) -> list[Batch]:
    given = {"epoch": 2, "seed": 5, "batch_size": 8, **how}
    return list(part.batches(Pass(augmentation=augmentation, **given)))


def by_label(batches: list[Batch]) -> dict[int, bytes]:
    return {
        int(label): image.numpy().tobytes()
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
    }


def same(first: list[Batch], second: list[Batch]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


@pytest.mark.parametrize("augmentation", [OFF, EVERYTHING])
@pytest.mark.parametrize("skip", [0, 2, 4])
def test_skipped_steps_leave_the_rest_as_it_is(augmentation: Augmentation, skip: int) -> None:
    part = part_of(30)
    assert same(epoch(part, augmentation)[skip:], epoch(part, augmentation, skip=skip))


def test_the_fast_path_resumes_too() -> None:
    part = load_data("digits", preset("vitas-digits")).train
    assert isinstance(part, IndexedPart)
    whole = epoch(part, OFF, batch_size=64)
    assert same(whole[5:], epoch(part, OFF, batch_size=64, skip=5))
    assert part.keep
    slow = replace(part, keep=False)
    assert same(whole, epoch(slow, OFF, batch_size=64))


@pytest.mark.parametrize("augmentation", [OFF, EVERYTHING])
def test_the_ranks_together_do_the_whole_step(augmentation: Augmentation) -> None:
    part = part_of(30)
    whole = epoch(part, augmentation, batch_size=12)
    ranks = [epoch(part, augmentation, batch_size=12, rank=rank, world=4) for rank in range(4)]
    assert [len(labels) for _, labels in whole] == [12, 12, 6]
    assert [[len(labels) for _, labels in rank] for rank in ranks] == [[3, 3, 1]] * 4
    for step, (images, labels) in enumerate(whole):
        kept = len(labels) - len(labels) % 4
        for rank in range(4):
            assert torch.equal(ranks[rank][step][0], images[:kept][rank::4])
            assert torch.equal(ranks[rank][step][1], labels[:kept][rank::4])


@pytest.mark.parametrize("augmentation", [OFF, EVERYTHING])
def test_workers_change_nothing_and_end(augmentation: Augmentation) -> None:
    part = part_of(20)
    assert same(epoch(part, augmentation), epoch(part, augmentation, workers=2))
    batches = part.batches(Pass(epoch=0, seed=0, batch_size=2, augmentation=augmentation, workers=2))
    next(batches)
    assert multiprocessing.active_children()
    batches.close()  # type: ignore[attr-defined]
    gc.collect()
    assert not multiprocessing.active_children()


def test_an_image_is_augmented_alike_in_another_part() -> None:
    whole = by_label(epoch(part_of(30)))
    cut = by_label(epoch(part_of(30).subset([29, 3, 11])))
    assert cut == {label: whole[label] for label in (29, 3, 11)}


def test_two_images_are_augmented_each_in_its_own_way() -> None:
    part = load_data("digits", preset("vitas-digits")).train
    assert isinstance(part, IndexedPart)
    first = part.source.image(part.indices[0])

    @dataclass(frozen=True)
    class Same(Noise):
        def image(self, index: int) -> Image.Image:
            return first

    pixels = by_label(epoch(replace(part_of(10), source=Same(torch.arange(10)))))
    assert len(set(pixels.values())) == 10


def test_epochs_and_seeds_differ_in_order_and_pixels() -> None:
    part = part_of(16)
    first = epoch(part)
    assert same(first, epoch(part))
    for change in ({"epoch": 3}, {"seed": 6}):
        other = epoch(part, **change)
        assert not torch.equal(first[0][1], other[0][1])
        mine, theirs = by_label(first), by_label(other)
        assert all(mine[label] != theirs[label] for label in mine)


@pytest.fixture
def rng_states() -> Iterator[None]:
    def states() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # noqa: NPY002

    before = states()
    yield
    assert states() == before


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("augmentation", [OFF, EVERYTHING])
def test_the_global_rngs_stay_as_they_were(rng_states: None, augmentation: Augmentation, workers: int) -> None:
    epoch(part_of(10), augmentation, workers=workers)


def test_the_global_rngs_change_nothing() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = epoch(part_of(10))
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    assert same(first, epoch(part_of(10)))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_stops_in_its_own_sentence(workers: int) -> None:
    part = part_of(20, broken=13)
    with pytest.raises(FileError) as caught:
        epoch(part, workers=workers)
    assert str(caught.value) == "image 13 is broken. Replace it."
    with pytest.raises(FileError, match="image 13"):
        decode(part.source, range(20), part.preprocessing)


def test_steps_count_batches_and_groups_of_them() -> None:
    part = part_of(30)
    assert steps(part, 8) == len(epoch(part)) == 4
    assert steps(part, 8, world=8) == len(epoch(part, OFF, world=8)) == 3  # 6 left over are no multiple of 8
    assert steps(part, 8, accumulate=3) == 2
    assert steps(part, 30) == steps(part, 31) == 1


@pytest.mark.parametrize("how", [{"batch_size": 0}, {"world": 3}, {"rank": 1}, {"world": 0}, {"rank": -1}])
def test_ranks_that_do_not_fit_are_refused(how: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be a multiple of the"):
        epoch(part_of(10), **how)


def test_decoding_once_gives_what_training_sees_without_augmentation() -> None:
    part = part_of(12)
    images = decode(part.source, range(12), part.preprocessing)
    inputs = part.preprocessing.normalise(images)
    assert by_label(epoch(part, OFF)) == {k: inputs[k].numpy().tobytes() for k in range(12)}
    # and so does the way through timm's transforms where no draw hits
    assert by_label(epoch(part, Augmentation(hflip=1e-12))) == by_label(epoch(part, OFF))
