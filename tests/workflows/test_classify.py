"""An exported file classifies images by what it carries: by the command, from Python, and by the lines of its card."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from shapes import write_shapes

import vitas_hw as vh
from vitas_hw.cli.main import main

SIZES = {"wide.png": (90, 40), "high.png": (33, 81), "same.png": (64, 64), "tiny.png": (5, 4)}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of two classes, and others of several shapes, one of which lies on its side."""
    folder = tmp_path_factory.mktemp("materials")
    write_shapes(folder / "photos", 10)
    rng = np.random.default_rng(0)
    (folder / "unseen").mkdir()
    for name, (width, height) in SIZES.items():
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(folder / "unseen" / name)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(rng.integers(0, 256, (40, 90, 3), np.uint8)).save(folder / "unseen" / "side.jpg", exif=exif)
    return folder


def unseen(folder: Path) -> list[Path]:
    return sorted((folder / "unseen").iterdir())


@pytest.fixture
def exported(
    materials: Path, tmp_path: Path, randomise: Callable[[object, int], None], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Writes ``model.onnx`` with its card, in this directory, by an export of a file of weights."""
    shutil.copytree(materials, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def write(channels: int = 3, **asked: object) -> Path:
        space = replace(vh.space_for("folder:photos"), in_chans=channels)
        model = vh.build_model(space.smallest)
        randomise(model, 1)
        from vitas_hw.supernet.weights_file import save_model

        save_model(model, space.smallest, Path("model.safetensors"))
        (done,) = vh.Run("runs/none", progress=False).export(
            "onnx", subnet="model.safetensors", data="folder:photos", output="model.onnx", **asked
        )  # type: ignore[arg-type]
        return done.path

    return write


def logits_of_ours(path: Path, photo: Path) -> np.ndarray:
    """By the images of a data set, which are decoded for training."""
    from vitas_hw.data.image_files import decoded
    from vitas_hw.export.onnx_export import onnx_program

    space = vh.space_for("folder:photos")
    channels = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1].dim_value
    how = vh.load_data("folder:photos", replace(space, in_chans=channels)).preprocessing
    images = how.normalise(how.pixels(decoded(str(photo), str(photo)))[None])
    return onnx_program(path.read_bytes())(images.numpy())[0]


@pytest.mark.parametrize("channels", [3, 1])
def test_it_says_what_the_model_says(channels: int, exported: Callable[..., Path], tmp_path: Path) -> None:
    path = exported(channels)
    rows = vh.classify(path, unseen(tmp_path), top=2)
    assert [row.image for row in rows] == [str(photo) for photo in unseen(tmp_path)]
    for row in rows:
        wanted = torch.from_numpy(logits_of_ours(path, Path(row.image))).softmax(0)
        names = ("disc", "square")
        assert dict(row.classes) == pytest.approx({name: wanted[i].item() for i, name in enumerate(names)}, abs=1e-5)
        assert row.label == row.classes[0][0] == names[int(wanted.argmax())]
    assert len({row.share for row in rows}) == len(rows)
    opened = vh.classify(path, [Image.open(photo) for photo in unseen(tmp_path)])
    assert [one.share for one in opened] == [one.share for one in rows]
    assert [one.image for one in opened] == [str(number) for number in range(len(rows))]


def lines_of(card: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", card.read_text(), re.DOTALL)
    return str(block)


@pytest.mark.parametrize(("channels", "asked"), [(3, {}), (1, {}), (3, {"batch_size": 4})])
def test_the_lines_of_the_card_do_the_same(
    channels: int,
    asked: dict[str, object],
    exported: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = exported(channels, **asked)
    lines = lines_of(path.with_name("model.onnx.md"))
    assert len(lines.splitlines()) <= 20
    assert "vitas" not in lines
    for photo in unseen(tmp_path):
        found: dict[str, np.ndarray] = {}
        exec(compile(lines.replace("photo.jpg", str(photo)), "card", "exec"), found)  # type: ignore[arg-type]  # noqa: S102
        (row,) = vh.classify(path, [photo])
        assert capsys.readouterr().out == f"{row.label}\n"
        ours = logits_of_ours(path, photo) if not asked else found["logits"]
        assert np.allclose(found["logits"], ours, atol=1e-4)


def test_the_lines_of_the_card_need_no_other_library(exported: Callable[..., Path], tmp_path: Path) -> None:
    exported()
    lines = lines_of(tmp_path / "model.onnx.md").replace("photo.jpg", str(unseen(tmp_path)[0]))
    lines += (
        "\nimport sys\nprint(*{name.split('.')[0] for name in sys.modules} & {'torch', 'timm', 'vitas_hw', 'onnx'})"
    )
    done = subprocess.run([sys.executable, "-c", lines], check=True, capture_output=True, text=True)
    label, modules = done.stdout.splitlines()
    assert label in ("disc", "square")
    assert modules == ""


def test_the_command(exported: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, photos = exported(), [photo.relative_to(tmp_path) for photo in unseen(tmp_path)]
    capsys.readouterr()
    rows = vh.classify(path, photos, top=2)
    words = ["classify", str(path), *map(str, photos)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"{photo.name}.*{row.label}.*%", said) for photo, row in zip(photos, rows, strict=True))
    assert main([*words, "--top", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]
    assert found == [{"image": row.image, "classes": [list(one) for one in row.classes]} for row in rows]


def test_a_fixed_batch_is_filled(exported: Callable[..., Path], tmp_path: Path) -> None:
    photos = unseen(tmp_path)
    free = [row.share for row in vh.classify(exported(), photos)]
    assert [row.share for row in vh.classify(exported(batch_size=4), photos)] == pytest.approx(free, abs=1e-5)


def test_classifying_loads_no_torch(exported: Callable[..., Path], tmp_path: Path) -> None:
    code = f"import vitas_hw as vh, sys\nvh.classify({str(exported())!r}, [{str(unseen(tmp_path)[0])!r}])\n"
    code += "print(*{name.split('.')[0] for name in sys.modules} & {'torch', 'timm', 'onnx', 'pandas', 'sklearn'})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


def test_what_is_refused(exported: Callable[..., Path], tmp_path: Path) -> None:
    path, photo = exported(), str(unseen(tmp_path)[0])
    with pytest.raises(vh.VitasError, match="Give at least one image to classify"):
        vh.classify(path, [])
    with pytest.raises(vh.VitasError, match="top must be at least 1, not 0"):
        vh.classify(path, [photo], top=0)
    with pytest.raises(vh.VitasError, match=r"Cannot read the model nowhere.onnx"):
        vh.classify("nowhere.onnx", [photo])
    with pytest.raises(vh.VitasError, match=r"side.jpg cannot be opened by ONNX Runtime"):
        vh.classify("unseen/side.jpg", [photo])
    with pytest.raises(vh.VitasError, match=r"model.onnx cannot be read as an image: Pillow knows no such format"):
        vh.classify(path, [path])
    bare = vh.export_onnx(vh.build_model(vh.published_subnet("deit-ti")), "bare.onnx").path
    with pytest.raises(vh.VitasError, match="does not say how an image becomes its input"):
        vh.classify(bare, [photo])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_size", [32, 64]),
        ("mean", [0.5]),
        ("std", [0.5, 0.0, 0.5]),
        ("interpolation", "magic"),
        ("crop_pct", 0.0),
        ("image_size", [0, 64]),
        ("image_size", [10**6, 10**6]),
        ("mean", "half"),
    ],
)
def test_a_broken_preprocessing(key: str, value: object, exported: Callable[..., Path], tmp_path: Path) -> None:
    path = exported()
    model = onnx.load(path)
    about = {one.key: one.value for one in model.metadata_props}
    how = json.loads(about["preprocessing"]) | {key: value}
    onnx.helper.set_model_props(model, about | {"preprocessing": json.dumps(how)})
    onnx.save(model, path)
    with pytest.raises(vh.VitasError, match="carries a broken preprocessing"):
        vh.classify(path, unseen(tmp_path)[:1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda model: model.head.weight.fill_(float("inf")), "does not give one finite number for each class"),
        (lambda model: None, None),
    ],
)
def test_what_is_no_score_is_refused(
    spoil: Callable[[Any], object], said: str | None, exported: Callable[..., Path], tmp_path: Path
) -> None:
    from vitas_hw.export.onnx_export import model_graph

    path, space = exported(), vh.space_for("folder:photos")
    about = {one.key: json.loads(one.value) for one in onnx.load(path).metadata_props}
    model = vh.build_model(space.smallest, seed=0).eval()
    with torch.no_grad():
        spoil(model)
    about.pop("subnet")
    onnx.save(model_graph(model, space.smallest, metadata=about), path)
    if said is None:
        assert len(vh.classify(path, unseen(tmp_path)[:1])) == 1
        return
    with pytest.raises(vh.VitasError, match=said):
        vh.classify(path, unseen(tmp_path)[:1])


@pytest.mark.parametrize("batch", [0, 2**40])
def test_a_batch_of_no_images_or_of_too_many(batch: int, exported: Callable[..., Path], tmp_path: Path) -> None:
    path = exported()
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, path)
    with pytest.raises(vh.VitasError, match=f"takes {batch} images at once: none, or more than memory holds"):
        vh.classify(path, unseen(tmp_path)[:1])


def made(outputs: list[Any], nodes: list[Any], about: dict[str, str], constants: Any = ()) -> onnx.ModelProto:
    images = onnx.helper.make_tensor_value_info("i", 1, ["n", 3, 64, 64])
    graph = onnx.helper.make_graph(nodes, "odd", [images], outputs, list(constants))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.helper.set_model_props(model, about)
    return model


def test_what_is_no_table_of_numbers_is_refused(exported: Callable[..., Path], tmp_path: Path) -> None:
    path, make = exported(), onnx.helper
    about = {one.key: one.value for one in onnx.load(path).metadata_props}
    value, node = make.make_tensor_value_info, make.make_node
    empty = make.make_tensor("e", 1, [1, 0], [])
    words = make.make_tensor("w", onnx.TensorProto.STRING, [1, 2], [b"disc", b"square"])
    sequence = make.make_tensor_sequence_value_info("o", 1, None)
    for model in (
        made([value("o", 1, [1, 0])], [node("Identity", ["e"], ["o"])], about, [empty]),  # no classes
        made([value("o", 8, [1, 2])], [node("Identity", ["w"], ["o"])], about, [words]),
        made([value("o", 7, [1])], [node("Size", ["i"], ["o"])], about),
        made([sequence], [node("SequenceConstruct", ["i"], ["o"])], about),
    ):
        onnx.save(model, path)
        with pytest.raises(vh.VitasError, match="does not give one finite number for each class"):
            vh.classify(path, unseen(tmp_path)[:1])


def test_scores_far_apart_are_certain(exported: Callable[..., Path], tmp_path: Path) -> None:
    path, make = exported(), onnx.helper
    about = {one.key: one.value for one in onnx.load(path).metadata_props}
    scores = make.make_tensor("s", 1, [1, 2], [-3.4e38, 3.4e38])
    onnx.save(
        made(
            [make.make_tensor_value_info("o", 1, [1, 2])], [make.make_node("Identity", ["s"], ["o"])], about, [scores]
        ),
        path,
    )
    (row,) = vh.classify(path, unseen(tmp_path)[:1], top=2)
    assert row.classes == (("square", 1.0), ("disc", 0.0))


def test_a_model_that_cannot_be_run(exported: Callable[..., Path], tmp_path: Path) -> None:
    path = exported()
    about = {one.key: one.value for one in onnx.load(path).metadata_props}
    shape = ["n", 3, 64, 64]
    make = onnx.helper
    images, logits = (make.make_tensor_value_info(name, 1, dims) for name, dims in (("i", shape), ("o", None)))
    nodes = [make.make_node("Reshape", ["i", "s"], ["o"])]  # into a shape that does not fit
    sizes = make.make_tensor("s", onnx.TensorProto.INT64, [2], [7, 11])
    graph = make.make_graph(nodes, "odd", [images], [logits], [sizes])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    make.set_model_props(model, about)
    onnx.save(model, path)
    with pytest.raises(vh.VitasError, match="cannot be run by ONNX Runtime"):
        vh.classify(path, unseen(tmp_path)[:1])
