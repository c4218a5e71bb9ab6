"""The newcomer's walk of docs/your-data.md, for test_newcomer.py and benchmarks/newcomer.py."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from PIL import Image
from shapes import write_shapes

PAGE = Path(__file__).parent.parent / "docs/your-data.md"


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


class Ended(Protocol):
    """Of ``subprocess.CompletedProcess``."""

    @property
    def returncode(self) -> int: ...
    @property
    def stderr(self) -> str: ...


def in_a_process(folder: Path, *words: str) -> Ended:
    command = [sys.executable, "-m", "vitas_hw", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def walk(folder: Path, more: dict[str, str], run: Callable[..., Ended] = in_a_process) -> dict[str, float]:
    """The page's commands in ``folder``, which holds ``photos``, one after the other: seconds of each.

    ``more`` gives options to append, by command; ``run`` runs one. AssertionError: one failed.
    """
    seconds = {}
    for words in commands():
        assert words[0] == "vitas-hw"
        began = time.monotonic()
        done = run(folder, *words[1:], *shlex.split(more.get(words[1], "")))
        seconds[words[1]] = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    return seconds
