"""Data sets opened by name through timm: torchvision's, the Hugging Face hub's, webdataset's shards."""

from __future__ import annotations

import io
import json
import multiprocessing
import random
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.load import ImageData, load_data
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Pass, steps
from vitas_hw.data.streams import find_shards

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on few cores
OFF = Augmentation()


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes((0x800 | array.ndim).to_bytes(4, "big") + sizes + array.tobytes())


@pytest.fixture
def mnist(tmp_path: Path, rng: np.random.Generator) -> Path:
    for part, count in (("train", 60), ("t10k", 20)):
        raw = tmp_path / "MNIST" / "raw"
        write_idx(raw / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_torchvisions_mnist(mnist: Path, small: SearchSpace) -> None:
    data = load_data(f"torch/mnist:{mnist}", replace(small, image_size=(28, 28), patch_sizes=(7, 14)))
    assert [len(part) for part in (data.train, data.search, data.test)] == [54, 6, 20]
    raw = (mnist / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert data.test.images.numpy().tobytes() == raw
    assert data.test.labels.tolist() == [k % 10 for k in range(20)]
    (images, labels), *_ = data.train.batches(Pass(epoch=0, seed=0, batch_size=54, augmentation=OFF))
    assert images.shape == (54, 1, 28, 28)
    assert torch.equal(torch.bincount(labels), torch.bincount(torch.tensor([k % 10 for k in data.train.indices])))


def test_torchvisions_errors(mnist: Path, small: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Unknown data set of torchvision 'nonsense'. Known: cifar10, "):
        load_data("torch/nonsense", small)
    with pytest.raises(FileError, match=r"torch/kmnist cannot be opened in .*not found.*data=torch/kmnist:ROOT"):
        load_data(f"torch/kmnist:{tmp_path}", small)
    with pytest.raises(InputError, match=r"train and val only. Leave val_split out"):
        load_data(f"torch/mnist:{mnist}", small, val_split="x")


def test_optional_packages_are_asked_for(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package datasets, .* Run: pip install datasets"):
        load_data("hfds/mnist", small)
    with pytest.raises(InputError, match=r"needs the package webdataset, .* Run: pip install webdataset"):
        load_data("wds/shards", small, search_split="x")


def encoded(value: int, format: str = "png") -> bytes:  # noqa: A002
    file = io.BytesIO()
    Image.fromarray(np.full((32, 32), value, np.uint8)).save(file, format)
    return file.getvalue()


def shard(path: Path, values: list[int], label: int | None = None) -> None:
    """Images whose every pixel is their number, labelled with its last digit."""
    with tarfile.open(path, "w") as tar:
        for value in values:
            for ending, content in (
                ("png", encoded(value)),
                ("cls", str(value % 10 if label is None else label).encode()),
            ):
                info = tarfile.TarInfo(f"image{value:03d}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """60 training images in four shards, 20 to search on, 10 to test on; listed in _info.json."""
    pytest.importorskip("webdataset")
    parts = {"train": range(60), "search": range(60, 80), "validation": range(80, 90)}
    about: dict[str, object] = {}
    for name, values in parts.items():
        pieces = [list(values)[start::4] for start in range(4 if name == "train" else 1)]
        if len(pieces) == 1:
            pieces = [list(values)]
        files = [f"{name}-{number}.tar" for number in range(len(pieces))]
        for file, piece in zip(files, pieces, strict=True):
            shard(tmp_path / file, piece)
        about[name] = {
            "name": name,
            "num_samples": len(values),
            "filenames": files,
            "shard_lengths": [len(piece) for piece in pieces],
        }
    (tmp_path / "_info.json").write_text(json.dumps({"splits": about}))
    return tmp_path


@pytest.fixture
def streamed(shards: Path, small: SearchSpace) -> ImageData:
    return load_data(f"wds/{shards}", small, search_split="search")


def numbers(data: ImageData, **how: int) -> list[int]:
    """The images of an epoch, by number."""
    given = {"epoch": 0, "seed": 0, "batch_size": 8, **how}
    seen = []
    for images, labels in data.train.batches(Pass(augmentation=OFF, **given)):
        values = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        assert torch.equal(values % 10, labels)
        seen += values.tolist()
    return seen


def test_shards_of_webdataset(streamed: ImageData, shards: Path) -> None:
    assert [len(part) for part in (streamed.train, streamed.search, streamed.test)] == [60, 20, 10]
    assert streamed.search.images[:, 0, 0, 0].tolist() == list(range(60, 80))
    assert streamed.test.labels.tolist() == list(range(10))
    assert streamed.to_dict()["options"] == {"search_split": "search"}
    for workers in (0, 2, 9):
        first = numbers(streamed, workers=workers)
        assert sorted(first) == list(range(60))
        assert first == numbers(streamed, workers=workers)
        assert first != numbers(streamed, workers=workers, epoch=1)
        assert first != numbers(streamed, workers=workers, seed=1)
    assert steps(streamed.train, 8) == 8
    assert not multiprocessing.active_children()


def test_ranks_read_other_shards_in_as_many_steps(streamed: ImageData) -> None:
    ranks = [numbers(streamed, rank=rank, world=2) for rank in range(2)]
    assert [len(rank) for rank in ranks] == [30, 30]
    assert sorted(ranks[0] + ranks[1]) == list(range(60))
    ranks = [numbers(streamed, rank=rank, world=4, batch_size=16) for rank in range(4)]
    assert [len(rank) for rank in ranks] == [15] * 4
    uneven = [numbers(streamed, rank=rank, world=3, batch_size=9) for rank in range(3)]
    assert [len(rank) for rank in uneven] == [20] * 3  # 30, 15 and 15 images: two begin again


def test_streams_augment_and_leave_the_rngs_alone(streamed: ImageData) -> None:
    augmentation = Augmentation(hflip=0.5, erasing=1.0)
    states = random.getstate(), torch.get_rng_state()
    how = Pass(epoch=0, seed=0, batch_size=8, augmentation=augmentation)
    epochs = [torch.cat([images for images, _ in streamed.train.batches(how)]) for _ in range(2)]
    assert torch.equal(*epochs)
    assert (epochs[0].flatten(1).std(1) > 0).all()
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_shards_can_be_named_in_braces(shards: Path, small: SearchSpace) -> None:
    (shards / "_info.json").unlink()
    parts = {"val_split": "validation-0.tar", "search_split": "search-0.tar"}
    data = load_data(f"wds/{shards}", small, train_split="train-{0..3}.tar|60", **parts)
    assert sorted(numbers(data)) == list(range(60))
    with pytest.raises(InputError, match="does not tell its number of images"):
        load_data(f"wds/{shards}", small, train_split="train-{0..3}.tar", **parts)
    with pytest.raises(InputError, match=r"train-1.tar belongs both to"):
        load_data(
            f"wds/{shards}",
            small,
            train_split="train-{0..3}.tar|60",
            val_split="train-1.tar",
            search_split="search-0.tar",
        )
    with pytest.raises(InputError, match=r"has no part 'train': .*Name the shards with train_split"):
        load_data(f"wds/{shards}", small, **parts)
    more = load_data(f"wds/{shards}", small, train_split="train-0.tar|20", **parts)
    assert len(numbers(more)) == 20  # 15 images in truth: it begins again


def test_what_streams_cannot_do_is_said(streamed: ImageData, shards: Path, small: SearchSpace) -> None:
    with pytest.raises(InputError, match="cannot go on in the middle of an epoch"):
        numbers(streamed, skip=1)
    with pytest.raises(InputError, match="has 4 shards for 8 processes"):
        numbers(streamed, world=8)
    with pytest.raises(InputError, match=r"needs shards of its own. Name them with search_split"):
        load_data(f"wds/{shards}", small)
    with pytest.raises(FileError, match="gone is not a folder"):
        load_data(f"wds/{shards / 'gone'}", small, search_split="search")
    with pytest.raises(InputError, match=r"has the label 9; the space has 9 classes"):
        load_data(f"wds/{shards}", replace(small, num_classes=9), search_split="search")


@pytest.mark.parametrize(
    ("json_label", "files", "says"),
    [
        ("", {"png": encoded(3)}, "It is a whole number in a .cls file."),
        ("", {"png": encoded(3), "cls": b"three"}, "It is a whole number in a .cls file."),
        ("digit", {"png": encoded(3), "cls": b"3"}, "It is a whole number at 'digit' of a .json file."),
        ("digit", {"png": encoded(3), "json": b'{"label": 3}'}, "It is a whole number at 'digit' of a .json file."),
        ("digit", {"png": encoded(3), "json": b"[3]"}, "It is a whole number at 'digit' of a .json file."),
        ("digit", {"png": encoded(3), "json": b"\xff"}, "It is a whole number at 'digit' of a .json file."),
    ],
)
def test_an_image_without_a_label_is_named(
    json_label: str, files: dict[str, bytes], says: str, tmp_path: Path, small: SearchSpace
) -> None:
    pytest.importorskip("webdataset")
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        for ending, content in files.items():
            info = tarfile.TarInfo(f"image.{ending}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    shards = replace(find_shards(f"wds/{tmp_path}", "one.tar|1", "train_split", 10), json_label=json_label)
    with pytest.raises(FileError) as caught:
        shards.split(Preprocessing((32, 32), (0.5,), (0.5,), "bilinear"))
    assert str(caught.value) == f"image in {tmp_path / 'one.tar'} has no readable label. {says}"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_or_shard_is_not_passed_over(streamed: ImageData, shards: Path, workers: int) -> None:
    with tarfile.open(shards / "train-2.tar", "a") as tar:
        for ending, content in (("png", encoded(3)[:-30]), ("cls", b"3")):
            info = tarfile.TarInfo(f"bad.{ending}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(FileError, match=r"^bad in .*train-2.tar cannot be read as an image"):
        numbers(streamed, workers=workers)
    (shards / "train-2.tar").write_bytes((shards / "train-1.tar").read_bytes()[:5000])
    with pytest.raises(FileError, match=r"The shard .*train-2.tar cannot be read"):
        numbers(streamed, workers=workers)
    (shards / "train-2.tar").unlink()
    with pytest.raises(FileError, match=r"The shard .*train-2.tar cannot be read"):
        numbers(streamed, workers=workers)


def test_the_hub_with_a_local_folder(tmp_path: Path, small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    for part, count in (("train", 10), ("test", 2)):
        for label in range(10):
            folder = tmp_path / "images" / part / str(label)
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(encoded(label * 20 + number))
    spec = f"hfds/{tmp_path / 'images'}:{tmp_path / 'cache'}"
    data = load_data(spec, small)
    assert [len(part) for part in (data.train, data.search, data.test)] == [90, 10, 20]
    assert torch.equal(data.test.images[:, 0, 0, 0] // 20, data.test.labels)
    for images, labels in data.train.batches(Pass(epoch=0, seed=0, batch_size=16, augmentation=OFF)):
        assert torch.equal(((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long() // 20, labels)
    with pytest.raises(InputError, match="cannot be opened with the part 'nowhere'"):
        load_data(spec, small, val_split="nowhere")
    assert "datasets" in sys.modules


@pytest.mark.parametrize("names", [["cat", "cow"], ["dog", "cat"]])
@pytest.mark.parametrize(("part", "called"), [("validation", "test"), ("search", "search")])
def test_parts_of_the_hub_with_other_classes_are_refused(
    part: str, called: str, names: list[str], small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = {"train": ["cat", "dog"], "validation": ["cat", "dog"], "search": ["cat", "dog"], part: names}

    def dataset(name: str, root: object, split: str) -> SimpleNamespace:  # as timm opens one of the hub
        about = {name: label for label, name in enumerate(classes[split])}
        reader = SimpleNamespace(dataset={"label": [0, 1]}, label_key="label", class_to_idx=about)
        return SimpleNamespace(reader=reader)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("timm.data.create_dataset", dataset)
    with pytest.raises(
        InputError, match=rf"^The {called} part of hfds/pets has other classes than its training images, or"
    ):
        load_data("hfds/pets", replace(small, num_classes=2), search_split="search")
