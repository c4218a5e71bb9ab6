"""The examples run as they are, in an empty directory; so does the notebook, cell by cell."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import vitas_hw as vh

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py
EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *words: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_search_under_latency(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("search_under_latency.py", monkeypatch=monkeypatch, folder=tmp_path)
    assert "ms predicted" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "runs/example/choice.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": np.zeros((3, 1, 32, 32), np.float32)})
    assert logits.shape == (3, 10)


def test_photos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole road, by one import."""
    run("photos.py", monkeypatch=monkeypatch, folder=tmp_path)
    said = capsys.readouterr().out
    measured = re.search(r"search split, ([\d.]+) ms measured\n", said)
    assert measured is not None
    assert float(measured[1]) > 0
    assert re.search(r"choice.onnx: top-1 [\d.]+% on 4 test images\n", said)
    assert re.findall(r"^photos/(\w+)/\d+.png: (?:disc|square) \(\d+%\)$", said, re.MULTILINE) == ["disc", "square"]
    assert (tmp_path / "runs/photos/report.html").is_file()
    assert (tmp_path / "runs/photos/choice.onnx.md").is_file()


def test_your_own_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("your_own_space.py", "--subnets", "2", monkeypatch=monkeypatch, folder=tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6  # a title, four subnets, the difference
    assert float(lines[-1].split()[-1]) < 1e-4
    assert vh.load_space(tmp_path / "my-space.yaml").name == "my-space"


@pytest.mark.full  # cross-validates five kinds
def test_predictor_from_csv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predictor_from_csv.py", monkeypatch=monkeypatch, folder=tmp_path)
    assert "xgboost" in capsys.readouterr().out
    assert (tmp_path / "predictors/measurements--latency_ms.json").is_file()


def test_the_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text())
    assert notebook["nbformat"] == 4
    variables: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), variables)  # noqa: S102  # our own
    assert variables["found"].best.predicted_ms <= 0.2  # type: ignore[attr-defined]
    assert (tmp_path / "runs/tour/supernet.safetensors").is_file()
