"""Images to evaluate on: decoded when they are first asked for, once, and moved batch by batch where they are many."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitas_hw.data import decoding, splits
from vitas_hw.data.decoding import Decoding
from vitas_hw.data.load import load_data
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Split

HOW = Preprocessing((8, 8), (0.5,), (0.5,), "bilinear")


class Counting:
    """Twenty gray images of one value each; counts how often each is decoded."""

    labels, class_names, in_memory = torch.arange(20), tuple(map(str, range(20))), False

    def __init__(self) -> None:
        self.decoded: Counter[int] = Counter()

    def image(self, index: int) -> Image.Image:
        self.decoded[index] += 1
        return Image.fromarray(np.full((8, 8), index, np.uint8))


def split_of(source: Counting) -> Split:
    indices = tuple(range(19, 3, -1))
    return Split(Decoding(source, indices, HOW), source.labels[list(indices)], indices, HOW)


def values(split: Split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


def test_an_image_is_decoded_when_asked_for_and_never_twice() -> None:
    source = Counting()
    whole = split_of(source)
    few = whole.subset([3, 0]).subset([1, 0])
    assert not source.decoded
    assert values(few) == few.labels.tolist() == list(few.indices) == [19, 16]
    assert sorted(source.decoded) == [16, 19]
    parts = [whole.subset(range(start, 16, 2)) for start in (0, 1)]
    for part in (*parts, whole, few.to("cpu")):
        assert values(part) == list(part.indices)
        assert [labels.tolist() for _, labels in part.batches(100)] == [list(part.indices)]
    assert source.decoded == Counter(range(4, 20))


def test_another_process_gets_the_images_and_not_the_files() -> None:
    source = Counting()
    there = pickle.loads(pickle.dumps(split_of(source).subset([2, 5])))  # noqa: S301
    assert values(there) == [17, 14]
    assert sorted(source.decoded) == [14, 17]


def test_loading_decodes_nothing(tmp_path: Path, small: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        folder = tmp_path / "train" / f"{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), number, np.uint8)).save(folder / f"{number}.png")
    opened: list[str] = []
    original = decoding.Preprocessing.pixels
    monkeypatch.setattr(Preprocessing, "pixels", lambda how, image: opened.append("") or original(how, image))
    data = load_data(f"folder:{tmp_path}", small)  # type: ignore[arg-type]
    assert not opened
    data.search.ready()
    assert len(opened) == len(data.search)


def test_many_images_lie_in_a_file_that_nobody_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(decoding, "_MAPPED_BYTES", 1)
    monkeypatch.setattr(decoding.tempfile, "tempdir", str(tmp_path))
    split = split_of(Counting())
    assert values(split) == list(split.indices)
    assert str(tmp_path) in Path("/proc/self/maps").read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most", [0, 2**20])
def test_a_gpu_keeps_few_images_and_is_given_batches_of_many(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(splits, "_ON_DEVICE_BYTES", most)
    there = split_of(Counting()).to("meta")
    assert there.images.device.type == ("meta" if most else "cpu")
    assert there.labels.device.type == "meta"
    assert there.subset([1, 2]).labels.device.type == "meta"
    assert [(images.device.type, len(images)) for images, _ in there.batches(10)] == [("meta", 10), ("meta", 6)]
