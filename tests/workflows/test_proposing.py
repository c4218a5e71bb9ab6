"""A space proposed for data: it fits them, is a file that reads back, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.presets import preset
from vitas_hw.core.published import published_subnet
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.data.load import load_data
from vitas_hw.runs.space_file import load_space
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.weights_file import save_model
from vitas_hw.training.recipe import FEW_IMAGES
from vitas_hw.workflows.few_images import few_images
from vitas_hw.workflows.propose_space import _space, propose_space
from vitas_hw.workflows.propose_space_around import space_around


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


def test_around_a_model_the_model_is_the_largest() -> None:
    deit = published_subnet("deit-s")
    space = space_around(deit, "around", 10)
    assert space.largest == Subnet(deit.image_size, 3, 16, 384, deit.blocks, 10)
    assert space.embed_dims == (192, 240, 288, 336, 384)
    assert (space.num_heads, space.head_dim, space.depth) == ((2, 3, 4, 5, 6), 64, (4, 12))
    assert space.mlp_dims == (384, 768, 1152, 1536)
    assert space.smallest.macs < deit.macs / 10
    tiny = space_around(published_subnet("deit-ti"), "around", 10)
    assert (tiny.num_heads, tiny.embed_dims[0]) == ((1, 2, 3), 96)


def test_around_a_model_of_unlike_blocks() -> None:
    model = Subnet((32, 32), 3, 8, 20, (Block(1, 8, 30), Block(3, 8, 21)), 10)
    space = space_around(model, "around", 10)
    assert space.contains(model)
    assert space.largest.blocks == (Block(3, 8, 30),) * 2
    assert space.embed_dims == (16, 20)
    with pytest.raises(InputError, match=r"has heads of one width; this model has heads of \[8, .*\] channels"):
        space_around(published_subnet("vitas-a"), "around", 10)


def test_a_space_around_a_model_drops_first_the_blocks_that_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", "RGB", (40, 40), classes=3)
    shape = Subnet((32, 32), 1, 8, 32, (Block(2, 16, 64),) * 3, 7)
    model = build_model(shape, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
        for linear in (model.blocks[0].attn.proj, model.blocks[0].mlp.fc2):
            linear.weight.zero_()
            linear.bias.zero_()
    save_model(model, shape, tmp_path / "vit.safetensors")
    found = propose_space("folder:photos", init="vit.safetensors")
    space = load_space(found.path)
    assert space == found.space
    assert (space.largest.blocks, space.num_classes, space.in_chans) == (shape.blocks, 3, 1)
    assert space.depth == (1, 3)
    assert space.block_order[-1] == 0
    assert 0 not in space.kept(2)
    assert propose_space("folder:photos", init="vit.safetensors") == found


def test_few_images_are_of_every_class_and_always_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", "RGB", (40, 40), classes=3)
    space = propose_space("folder:photos").space
    data = load_data("folder:photos", space)
    first, again = [*few_images(data)], [*few_images(data)]
    assert [len(labels) for _, labels in first] == [14]
    assert set(first[0][1].tolist()) == {0, 1, 2}
    assert torch.equal(first[0][0], again[0][0])
    many = load_data("digits", preset("vitas-digits"))
    batches = [*few_images(many)]
    assert [len(labels) for _, labels in batches] == [16] * 8
    counts = torch.bincount(torch.cat([labels for _, labels in batches]))
    assert (counts.min(), counts.max()) == (12, 13)
