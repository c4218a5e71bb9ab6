"""Data sets that come whole: the digits and fashion-mnist."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData, load_data, stratified
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Pass


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", preset("vitas-digits"))


def test_the_digits_parts_are_those_of_version_0_1(data: ImageData) -> None:
    target = load_digits().target
    rest, test = train_test_split(np.arange(1797), test_size=0.2, stratify=target, random_state=0)
    train, search = train_test_split(rest, test_size=0.25, stratify=target[rest], random_state=0)
    for part, expected in ((data.train, train), (data.search, search), (data.test, test)):
        assert list(part.indices) == sorted(expected.tolist())
    assert [len(part) for part in (data.train, data.search, data.test)] == [1077, 360, 360]
    assert sorted(data.train.indices + data.search.indices + data.test.indices) == list(range(1797))


def test_the_digits_inputs_are_those_of_version_0_1(data: ImageData) -> None:
    source = load_digits()
    for part in (data.search, data.test):
        assert part.labels.tolist() == source.target[list(part.indices)].tolist()
        assert part.images.dtype == torch.uint8
        for index, ours in zip(part.indices, part.preprocessing.normalise(part.images).numpy(), strict=True):
            pixels = np.round(source.images[index] * (255 / 16)).astype(np.uint8)
            resized = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
            assert np.array_equal(ours[0], (np.asarray(resized, np.float32) / 255 - np.float32(0.5)) / np.float32(0.5))


def test_the_train_part_gives_every_image_once_with_its_label(data: ImageData) -> None:
    batches = list(data.train.batches(Pass(epoch=0, seed=0, batch_size=100, augmentation=Augmentation())))
    assert [len(labels) for _, labels in batches] == [100] * 10 + [77]
    images, labels = torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])
    assert images.shape[1:] == (1, 32, 32)
    order = np.random.default_rng([0, 0]).permutation(1077)
    assert torch.equal(labels, data.train.labels[order])
    assert torch.equal(images, data.preprocessing.normalise(data.train.images[order]))


def test_what_is_kept_finds_the_same_images_again(data: ImageData) -> None:
    kept = data.to_dict()
    assert kept["name"] == "digits"
    assert kept["options"] == {}
    assert kept["preprocessing"] == {
        "image_size": (32, 32),
        "mean": (0.5,),
        "std": (0.5,),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    }
    assert kept["indices"]["test"] == list(data.test.indices)


def test_a_split_can_be_cut_moved_and_read_in_batches(data: ImageData) -> None:
    part = data.test.subset([5, 3, 8]).to("cpu")
    assert part.indices == tuple(data.test.indices[k] for k in (5, 3, 8))
    assert torch.equal(part.images, data.test.images[[5, 3, 8]])
    batches = list(part.batches(2))
    assert [len(labels) for _, labels in batches] == [2, 1]
    assert torch.equal(torch.cat([images for images, _ in batches]), part.preprocessing.normalise(part.images))


def test_gray_images_become_rgb_where_the_space_wants_it(digits: SearchSpace) -> None:
    data = load_data("digits", replace(digits, in_chans=3))
    assert data.test.images.shape[1:] == (3, 32, 32)
    assert torch.equal(data.test.images[:, 0], data.test.images[:, 2])


def test_normalising_is_exact_for_every_value() -> None:
    how = Preprocessing((1, 256), mean=(0.485, 0.2), std=(0.229, 0.3), interpolation="bicubic")
    values = torch.arange(256, dtype=torch.uint8).expand(1, 2, 1, 256)
    expected = (np.arange(256, dtype=np.float32) / 255 - np.float32([[0.485], [0.2]])) / np.float32([[0.229], [0.3]])
    assert np.array_equal(how.normalise(values)[0, :, 0].numpy(), expected)


def test_an_image_is_resized_by_its_shorter_side_and_cropped_in_the_middle() -> None:
    columns = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    how = Preprocessing((50, 50), (0.5,), (0.5,), "bicubic")
    pixels = how.pixels(Image.fromarray(columns))
    assert pixels.shape == (1, 50, 50)
    assert abs(float(pixels.float().mean()) - 99.5) < 1
    assert (int(pixels.min()), int(pixels.max())) == pytest.approx((50, 149), abs=2)
    upright = how.pixels(Image.fromarray(columns.T.copy()))
    assert torch.equal(upright, pixels.mT)
    closer = replace(how, crop_pct=0.5).pixels(Image.fromarray(columns))
    assert (int(closer.min()), int(closer.max())) == pytest.approx((75, 124), abs=2)


def test_held_out_shares_are_equal_for_every_class() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [600, 300, 101]))
    chosen = stratified(labels, 100, seed=1)
    assert np.abs(np.bincount(labels[chosen]) - [60, 30, 10]).max() <= 1
    assert len(set(chosen.tolist())) == 100
    assert np.array_equal(chosen, stratified(labels, 100, seed=1))
    assert not np.array_equal(chosen, stratified(labels, 100, seed=2))
    exact = stratified(np.array([0, 1, 0, 1, 1, 0, 0, 1, 2, 0]), 4, seed=1)  # as every earlier version held them out
    assert exact.tolist() == [0, 2, 4, 7]


def write_idx(path: Path, array: np.ndarray, magic: int | None = None) -> None:
    header = (0x800 | array.ndim if magic is None else magic).to_bytes(4, "big")
    content = header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def fashion(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A tiny fashion-mnist: 200 training images, 30 test images, half of the files gzipped."""
    for part, count, ending in (("train", 200, ".gz"), ("t10k", 30, "")):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{ending}", rng.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{ending}", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_fashion_mnist_holds_a_tenth_of_the_training_images_out(fashion: Path, digits: SearchSpace) -> None:
    data = load_data(f"fashion-mnist:{fashion}", digits)
    assert [len(part) for part in (data.train, data.search, data.test)] == [180, 20, 30]
    assert sorted(data.train.indices + data.search.indices) == list(range(200))
    assert torch.bincount(data.search.labels).tolist() == [2] * 10
    assert data.test.labels.tolist() == [k % 10 for k in range(30)]
    assert data.class_names[9] == "Ankle boot"
    again = load_data(f"fashion-mnist:{fashion}", digits)
    assert again.search.indices == data.search.indices
    half = load_data(f"fashion-mnist:{fashion}", digits, search_share=0.5)
    assert len(half.search) == 100
    assert half.to_dict()["options"] == {"search_share": 0.5}


def test_fashion_mnist_pixels_are_the_files(fashion: Path, digits: SearchSpace) -> None:
    data = load_data(f"fashion-mnist:{fashion}", replace(digits, image_size=(28, 28), patch_sizes=(4, 7)))
    raw = (fashion / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert data.test.images.numpy().tobytes() == raw


def test_too_few_images_to_hold_any_out(fashion: Path, digits: SearchSpace) -> None:
    write_idx(fashion / "train-images-idx3-ubyte.gz", np.zeros((1, 28, 28), np.uint8))
    write_idx(fashion / "train-labels-idx1-ubyte.gz", np.zeros(1, np.uint8))
    with pytest.raises(InputError, match=r"too few images \(1\)"):
        load_data(f"fashion-mnist:{fashion}", digits)


def test_without_the_files_the_sentence_names_the_package(tmp_path: Path, digits: SearchSpace) -> None:
    with pytest.raises(FileError, match=r"no train-images-idx3-ubyte.*apt-get install dataset-fashion-mnist"):
        load_data(f"fashion-mnist:{tmp_path}", digits)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (
            "train-images-idx3-ubyte.gz",
            gzip.compress(b"\0\0\x08\x01" + bytes(12), mtime=0),
            "begins with 0x801, not 0x803",
        ),
        ("train-images-idx3-ubyte.gz", b"no gzip at all", "cannot be read or unpacked"),
        ("train-images-idx3-ubyte.gz", gzip.compress(bytes(5000), mtime=0)[:-12], "cannot be read or unpacked"),
        ("t10k-images-idx3-ubyte", b"", "begins with 0x0"),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\x03\0\0", "truncated or too long"),
        (
            "t10k-images-idx3-ubyte",
            b"\0\0\x08\x03" + bytes([0, 0, 0, 2] * 3) + bytes(7),
            "announces 24 bytes, it has 23",
        ),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01" + bytes([0, 0, 0, 1, 3]), "30 images but .* 1 labels"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01" + bytes([0, 0, 0, 30]) + bytes([10] * 30), "has the label 10"),
    ],
)
def test_a_broken_file_is_named(fashion: Path, digits: SearchSpace, name: str, content: bytes, problem: str) -> None:
    (fashion / name).write_bytes(content)
    with pytest.raises(FileError, match=problem) as caught:
        load_data(f"fashion-mnist:{fashion}", digits)
    assert str(fashion / name) in str(caught.value)


def test_a_file_that_unpacks_to_too_much(fashion: Path, digits: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    (fashion / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(5000), mtime=0))
    monkeypatch.setattr("vitas_hw.data.sources._MOST_BYTES", 4999)
    with pytest.raises(FileError, match=r"train-images-idx3-ubyte\.gz unpacks to more than 4,999 bytes"):
        load_data(f"fashion-mnist:{fashion}", digits)


@pytest.mark.parametrize("spec", ["imagenet", "digits:here", "fashion-mnist:", "", "folder", "torch", "wds/", "hfds/"])
def test_an_unknown_name_lists_the_known(spec: str, digits: SearchSpace) -> None:
    with pytest.raises(InputError, match=re.escape(f"Unknown data set {spec!r}. Known: digits, fashion-mnist")):
        load_data(spec, digits)


def test_data_that_do_not_fit_the_space_are_refused(digits: SearchSpace) -> None:
    with pytest.raises(InputError, match=r"digits has 10 classes; space 'vitas-digits' has 12.*num_classes: 10"):
        load_data("digits", replace(digits, num_classes=12))
    with pytest.raises(InputError, match=r"1 channel \(gray\) or 3 \(RGB\); space 'vitas-digits' has 2"):
        load_data("digits", replace(digits, in_chans=2))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_an_impossible_share_is_refused(share: float, digits: SearchSpace) -> None:
    with pytest.raises(InputError) as caught:
        load_data("fashion-mnist", digits, search_share=share)
    assert (caught.value.field, caught.value.allowed) == ("search_share", "above 0 and below 1")


@pytest.mark.parametrize("option", ["search_share", "train_split", "val_split", "search_split"])
def test_the_digits_take_no_options(option: str, digits: SearchSpace) -> None:
    with pytest.raises(InputError, match=f"digits are fixed: it takes no {option}"):
        load_data("digits", digits, **{option: 0.5 if option == "search_share" else "x"})
