"""Data sets of image files."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import load_data
from vitas_hw.data.splits import Pass

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on few cores
COLOURS = {"cat": (200, 0, 0), "dog": (0, 200, 0), "eel": (0, 0, 200)}


@pytest.fixture
def space(small: SearchSpace) -> SearchSpace:
    return replace(small, in_chans=3, num_classes=3)


def fill(folder: Path, count: int, classes: tuple[str, ...] = tuple(COLOURS)) -> Path:
    rng = np.random.default_rng(count)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 50, (40, 36 + number % 9, 3), np.uint8)
            image = Image.fromarray(noise + np.array(COLOURS.get(name, (9, 9, 9)), np.uint8))
            image.save(folder / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    fill(tmp_path / "images" / "train", 10)
    fill(tmp_path / "images" / "val", 4)
    return tmp_path / "images"


def test_the_folder_for_validation_is_the_test_part(images: Path, space: SearchSpace) -> None:
    data = load_data(f"folder:{images}", space)
    assert [len(part) for part in (data.train, data.search, data.test)] == [27, 3, 12]
    assert data.class_names == ("cat", "dog", "eel")
    assert torch.bincount(data.search.labels).tolist() == [1, 1, 1]
    assert sorted(data.train.indices + data.search.indices) == list(range(30))
    for part in (data.search, data.test):
        brightest = part.images.float().mean((2, 3)).argmax(1)
        assert torch.equal(brightest, part.labels)
    batches = list(data.train.batches(Pass(epoch=0, seed=0, batch_size=8, augmentation=Augmentation(hflip=0.5))))
    assert [tuple(pixels.shape) for pixels, _ in batches] == [(8, 3, 32, 32)] * 3 + [(3, 3, 32, 32)]
    for pixels, labels in batches:
        assert torch.equal(pixels.mean((2, 3)).argmax(1), labels)
    assert data.to_dict()["name"] == f"folder:{images}"


def test_without_one_test_images_are_held_out(tmp_path: Path, space: SearchSpace) -> None:
    fill(tmp_path / "flat", 20)
    data = load_data(f"folder:{tmp_path / 'flat'}", space)
    assert [len(part) for part in (data.train, data.search, data.test)] == [48, 6, 6]
    assert torch.bincount(data.test.labels).tolist() == [2, 2, 2]
    assert sorted(data.train.indices + data.search.indices + data.test.indices) == list(range(60))


def test_parts_can_be_named(images: Path, space: SearchSpace) -> None:
    fill(images / "held", 2)
    (images / "train").rename(images / "learn")
    data = load_data(f"folder:{images}", space, train_split="learn", val_split="val", search_split="held")
    assert [len(part) for part in (data.train, data.search, data.test)] == [30, 6, 12]
    with pytest.raises(FileError, match=r"no folder 'nowhere'. It has: held, learn, val"):
        load_data(f"folder:{images}", space, train_split="learn", val_split="nowhere")
    with pytest.raises(FileError, match=r"a folder val but none of train, training.*train_split"):
        load_data(f"folder:{images}", space)
    with pytest.raises(InputError, match="exclude each other"):
        load_data(f"folder:{images}", space, search_split="held", search_share=0.1)


def test_photographs_are_cropped_in_the_usual_way(images: Path, space: SearchSpace) -> None:
    how = load_data(f"folder:{images}", replace(space, image_size=(128, 128))).preprocessing
    assert (how.crop_pct, how.interpolation, how.mean) == (0.875, "bicubic", (0.485, 0.456, 0.406))
    gray = load_data(f"folder:{images}", replace(space, in_chans=1))
    assert gray.test.images.shape[1:] == (1, 32, 32)
    assert gray.preprocessing.crop_pct == 1.0


def test_a_broken_image_is_named_when_it_is_read(images: Path, space: SearchSpace) -> None:
    for broken in sorted((images / "val" / "cat").iterdir())[:2]:
        whole = broken.read_bytes()
        for content in (whole[: len(whole) // 2], b"no image", b""):
            broken.write_bytes(content)
            data = load_data(f"folder:{images}", space)
            with pytest.raises(FileError, match=f"^{re.escape(str(broken))} cannot be read as an image: .* Replace"):
                data.test.ready()
        broken.write_bytes(whole)
    data = load_data(f"folder:{images}", space)
    broken = next(path for path in map(Path, data.train.source.paths) if path.suffix == ".jpg")  # type: ignore[attr-defined]
    for path in (images / "train").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:-300])
    for workers in (0, 1):
        with pytest.raises(FileError, match=r"train.*(jpg|png) cannot be read as an image"):
            list(data.train.batches(Pass(epoch=0, seed=0, batch_size=4, augmentation=Augmentation(), workers=workers)))
    broken.unlink()
    with pytest.raises(FileError, match="cannot be read as an image"):
        data.train.source.image(0)  # type: ignore[attr-defined]


def test_what_is_missing_is_named(images: Path, space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=f"{re.escape(str(tmp_path / 'gone'))} is not a folder"):
        load_data(f"folder:{tmp_path / 'gone'}", space)
    (images / "train" / "fox").mkdir()
    with pytest.raises(FileError, match=r"The class folder .*fox has no images. Fill or delete it"):
        load_data(f"folder:{images}", space)
    (images / "train" / "fox" / "notes.txt").write_text("soon")
    with pytest.raises(FileError, match=r"The class folder .*fox has no images"):
        load_data(f"folder:{images}", space)
    shutil.rmtree(images / "train" / "fox")
    (images / "train" / ".cache").mkdir()
    load_data(f"folder:{images}", space)
    shutil.copy(images / "train" / "cat" / "0.jpg", images / "train" / "stray.jpg")
    with pytest.raises(FileError, match=r"stray.jpg lies outside of the class folders"):
        load_data(f"folder:{images}", space)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"There are no images in .*empty. Images are files named \*.png, "):
        load_data(f"folder:{tmp_path / 'empty'}", space)


def test_other_classes_in_validation_are_refused(images: Path, space: SearchSpace) -> None:
    (images / "val" / "eel").rename(images / "val" / "elk")
    with pytest.raises(InputError, match=r"classes of .*val are not .*: it has also 'elk' and lacks 'eel'"):
        load_data(f"folder:{images}", space)


def test_another_number_of_classes_than_the_spaces_is_refused(images: Path, small: SearchSpace) -> None:
    with pytest.raises(InputError, match=r"has 3 classes; space 'small' has 10\. Set num_classes: 3"):
        load_data(f"folder:{images}", replace(small, in_chans=3))
