"""Broken images: all named before anything begins, or left out and counted; every later step reads the same images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitas_hw.cli.main import main
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.progress import SILENT
from vitas_hw.core.space import SearchSpace
from vitas_hw.data import broken
from vitas_hw.data.broken import find_broken, without
from vitas_hw.data.load import ImageData, load_data
from vitas_hw.runs.artifacts import load_run_data
from vitas_hw.runs.directory import Run

EMPTY, TRUNCATED, TEXT = "1/1.png", "2/12.png", "3/23.png"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """120 images of ten classes, three of them broken each in its way."""
    rng = np.random.default_rng(0)
    for number in range(120):
        path = tmp_path / "photos" / str(number % 10) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 12), np.uint8)).save(path)
    folder = tmp_path / "photos"
    (folder / EMPTY).write_bytes(b"")
    (folder / TRUNCATED).write_bytes((folder / TRUNCATED).read_bytes()[:90])
    (folder / TEXT).write_text("no image")
    return folder


def data_of(folder: Path, space: SearchSpace) -> ImageData:
    return load_data(f"folder:{folder}", space)


def test_all_are_found_in_whatever_part_they_are(photos: Path, small: SearchSpace) -> None:
    data = data_of(photos, small)
    found = find_broken(data, SILENT)
    assert len(found) == 3
    assert all(any(name in problem for problem in found.problems) for name in (EMPTY, TRUNCATED, TEXT))
    error = found.refused(120)
    assert error.problem.startswith("3 of the 120 images cannot be read.\n  ")
    assert len(error.problem.splitlines()) == 4
    assert error.hint == "Replace or delete them, or leave them out: skip_broken."
    rest = without(data, found.indices)
    assert sum(len(getattr(rest, name)) for name in ("train", "search", "test")) == 117
    assert not find_broken(rest, SILENT)
    assert len(rest.search.images) == len(rest.search) == len(rest.search.labels)
    assert rest.to_dict()["left_out"] == {name: list(some) for name, some in found.indices.items()}


def test_many_are_named_in_part(photos: Path, small: SearchSpace) -> None:
    for path in photos.glob("*/*"):
        path.write_bytes(b"")
    data = data_of(photos, small)
    found = find_broken(data, SILENT)
    assert len(found.refused(120).problem.splitlines()) == 22
    assert found.refused(120).problem.endswith("\n  ... and 100 more.")
    with pytest.raises(InputError, match=r"^Not one image of the train part of folder:"):
        without(data, found.indices)


def test_of_very_many_only_the_first_bytes_are_read(
    photos: Path, small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken, "_READ_WHOLE", 100)
    found = find_broken(data_of(photos, small), SILENT)
    assert len(found) == 2  # not the truncated one
    assert not any(TRUNCATED in problem for problem in found.problems)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    assert len(find_broken(data_of(photos, small), SILENT)) == 120


def test_what_is_in_memory_is_not_read(small: SearchSpace) -> None:
    assert not find_broken(load_data("digits", small), SILENT)


def test_training_names_all_of_them_or_leaves_them_out(
    photos: Path, small: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, run = tmp_path / "small.yaml", Run(tmp_path / "run")
    space.write_text(json.dumps({key: value for key, value in small.to_dict().items() if key != "name"}))
    words = ["train", "--data", f"folder:{photos}", "--space", str(space), "--run", str(run.path), "--device", "cpu"]
    words += ["--epochs", "1"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "Error: 3 of the 120 images cannot be read." in said
    assert all(name in said for name in (EMPTY, TRUNCATED, TEXT))
    assert "leave them out: --skip-broken" in said
    assert "--fresh" not in said  # nothing has begun
    assert not run.path.exists()
    assert main([*words, "--skip-broken", "--max-time", "0.001s"]) == 0
    assert main([*words, "--skip-broken"]) == 0  # goes on: the images are the same
    assert "left out: 3 of 120 images, which cannot be read; the first: " in capsys.readouterr().err
    assert run.read()["steps"][-1]["settings"]["images_left_out"] == 3
    again = load_run_data(run, small)
    assert sum(len(getattr(again, name)) for name in ("train", "search", "test")) == 117
    assert len(again.test.images) == len(again.test)
    about = json.loads(run.data.read_text())
    run.data.write_text(json.dumps(about | {"left_out": {"attic": [1]}}))
    with pytest.raises(FileError, match=r"data\.json is missing or broken"):
        load_run_data(run, small)
