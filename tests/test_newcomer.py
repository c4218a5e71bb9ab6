"""A newcomer's first hour: from a folder of PNG images in two classes to an ONNX model under a latency, five commands.

The commands are those of docs/your-data.md, as they stand there, each in a process of its own.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from shapes import write_shapes

PAGE = Path(__file__).parent.parent / "docs/your-data.md"
SMALL = {  # appended
    "profile": "--num-subnets 20 --rounds 1",
    "train": "--epochs 3",
    "search": "--population 4 --generations 2",
}


def commands() -> list[list[str]]:
    block = re.search(r"^## Five commands\n.*?```console\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in block[1].splitlines()]


def top1_by_onnxruntime(model: Path, folder: Path) -> float:
    """On images that the model has never seen, prepared as the file itself says."""
    write_shapes(folder, 50, seed=1)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    how, classes = json.loads(about["preprocessing"]), json.loads(about["class_names"])
    height, width = how["image_size"]
    assert how["crop_pct"] == 1.0
    hits = []
    for path in sorted(folder.glob("*/*.png")):
        image = Image.open(path)
        scale = max(height / image.height, width / image.width)
        covering = round(image.width * scale), round(image.height * scale)
        left, top = round((covering[0] - width) / 2), round((covering[1] - height) / 2)
        image = image.resize(covering, Image.Resampling.BICUBIC).crop((left, top, left + width, top + height))
        pixels = (np.asarray(image, np.float32) / 255 - how["mean"]) / how["std"]
        logits = session.run(None, {"images": pixels.transpose(2, 0, 1)[None].astype(np.float32)})[0]
        hits.append(classes[int(logits.argmax())] == path.parent.name)
    return float(np.mean(hits))


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.full)], ids=["small", "defaults"])
def test_five_commands_lead_from_images_to_a_model(
    small: bool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_shapes(tmp_path / "photos", 60 if small else 400)
    assert len(commands()) == 5
    seconds = {}
    for words in commands():
        assert words[0] == "vitas-hw"
        more = shlex.split(SMALL.get(words[1], "")) if small else []
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "vitas_hw", *words[1:], *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds[words[1]] = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    record_property("seconds", {name: round(value) for name, value in seconds.items()})
    searched = json.loads((tmp_path / "runs/default/search.json").read_text())
    measured = searched["measured_ms"].values()
    assert min(measured) <= searched["budget"]["latency_ms"][1] == 2.0
    found = top1_by_onnxruntime(tmp_path / "runs/default/choice.onnx", tmp_path / "unseen")
    if not small:  # three epochs of 96 images teach nothing for sure
        assert found > 0.9
