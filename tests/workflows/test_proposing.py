"""A space proposed for data: it fits them, is a file that reads back, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.presets import preset
from vitas_hw.data.load import load_data
from vitas_hw.runs.space_file import load_space
from vitas_hw.training.recipe import FEW_IMAGES
from vitas_hw.workflows.propose_space import _space, propose_space


def fill(folder: Path, mode: str, size: tuple[int, int], classes: int = 2) -> None:
    for name in range(classes):
        (folder / f"class {name}").mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.full((size[1], size[0]), 40 * number, np.uint8)).convert(mode).save(
                folder / f"class {name}" / f"{number}.png"
            )


@pytest.mark.parametrize(
    ("mode", "size", "channels", "side"),
    [("RGB", (96, 72), 3, 64), ("L", (40, 33), 1, 32), ("RGB", (900, 700), 3, 64), ("L", (8, 8), 1, 32)],
)
def test_it_fits_the_images(
    mode: str, size: tuple[int, int], channels: int, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "My Photos!", mode, size, classes=3)
    found = propose_space("folder:My Photos!")
    assert found.path == Path("my-photos.yaml")
    assert (found.images, found.side) == (18, min(size))
    space = load_space(found.path)
    assert space == found.space
    assert (space.in_chans, space.num_classes, space.image_size) == (channels, 3, (side, side))
    assert len(load_data("folder:My Photos!", space).train) == 14


def test_many_images_get_the_papers_widths() -> None:
    usual = preset("vitas-deit-tiny")
    many = _space("many", FEW_IMAGES + 1, 1000, 500, 3)
    assert (many.image_size, many.patch_sizes, many.embed_dims) == ((224, 224), usual.patch_sizes, usual.embed_dims)
    cifar = _space("cifar", 50_000, 10, 32, 3)
    assert (cifar.image_size, cifar.patch_sizes, cifar.depth) == ((32, 32), (4, 8), usual.depth)
    assert _space("few", FEW_IMAGES, 10, 500, 3).image_size == (64, 64)


def test_a_file_of_other_content_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", "RGB", (40, 40))
    first = propose_space("folder:photos")
    assert propose_space("folder:photos") == first  # the same again is no loss
    first.path.write_text(first.path.read_text() + "identity_shifting: false\n")
    with pytest.raises(InputError, match=r"photos.yaml is there already, with other content"):
        propose_space("folder:photos")
    assert "identity_shifting" in first.path.read_text()
    assert propose_space("folder:photos", Path("other.yaml")).space.name == "other"


@pytest.mark.parametrize(
    ("spec", "output", "said"),
    [
        ("wds/shards", None, "does not tell its classes"),
        ("folder:nothing", None, "is not a folder"),
        ("digits", Path("digits.txt"), "A space's file ends in .yaml, not 'digits.txt'"),
        ("imagenet", None, "Unknown data set"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    spec: str, output: Path | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, FileError), match=said):
        propose_space(spec, output)
    assert list(tmp_path.iterdir()) == []
