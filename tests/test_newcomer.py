"""A newcomer's first hour: from a folder of PNG images in two classes to an ONNX model under a latency, five commands.

The commands are those of docs/your-data.md, as they stand there. How long they take with all defaults:
benchmarks/newcomer.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from brief_steps import brief_steps
from newcomer_walk import commands, top1_by_onnxruntime, walk
from shapes import write_shapes
from typed import run

SMALL = {  # appended
    "profile": "--num-subnets 20 --rounds 1",
    "train": "--epochs 3",
    "search": "--population 4 --generations 2",
}


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.full)], ids=["small", "defaults"])
def test_five_commands_lead_from_images_to_a_model(small: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write_shapes(tmp_path / "photos", 60 if small else 400)
    assert len(commands()) == 5
    if small:
        with brief_steps():
            walk(tmp_path, SMALL, run)
    else:
        walk(tmp_path, {})  # in processes, as people type them
    searched = json.loads((tmp_path / "runs/default/search.json").read_text())
    measured = searched["measured_ms"].values()
    assert min(measured) <= searched["budget"]["latency_ms"][1] == 2.0
    found = top1_by_onnxruntime(tmp_path / "runs/default/choice.onnx", tmp_path / "unseen")
    if not small:  # three epochs of 96 images teach nothing for sure
        assert found > 0.9
