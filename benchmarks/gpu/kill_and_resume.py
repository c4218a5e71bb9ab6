"""A training killed and resumed on this device, beside one that was left alone: the same weights, or how far apart?

    PYTHONPATH=. python benchmarks/gpu/kill_and_resume.py --seconds 150 --out resume.json [--device cuda:0]

On a GPU the images are scikit-learn's digits, enlarged to 224 x 224 pixels and saved as JPEG files in folders; on a
CPU they are the digits themselves. The kill is signal 9, as soon as the training has kept a state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from vitas_hw.runs.directory import Run
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

SPACE = """image_size: [224, 224]
in_chans: 3
num_classes: 10
patch_sizes: [16]
embed_dims: [128, 192]
depth: [2, 6]
num_heads: [2, 3]
head_dim: 64
mlp_ratios: [2, 4]
"""


def write_images(folder: Path, count: int) -> None:
    """Folders ``0`` to ``9`` of JPEG files."""
    digits = load_digits()
    for number in range(count):
        pixels = np.kron(digits.images[number] * 15, np.ones((28, 28))).astype(np.uint8)
        path = folder / str(digits.target[number]) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert("RGB").save(path)


def command(run: Path, device: str, space: str, data: str, epochs: int) -> list[str]:
    words = ["--as-training", str(run), "--device", device, "--space", space, "--data", data, "--epochs", str(epochs)]
    return [sys.executable, __file__, *words]


def finish(words: list[str], seconds: float) -> float:
    """Seconds that the training took. Raises CalledProcessError or TimeoutExpired."""
    started = time.monotonic()
    subprocess.run(words, check=True, timeout=seconds)
    return time.monotonic() - started


def kill_once_kept(words: list[str], state: Path, seconds: float) -> bool:
    """Start a training and kill it when it has kept a state; False if it ended before."""
    process = subprocess.Popen(words)
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        if state.exists():
            process.kill()
            process.wait()
            return True
        time.sleep(0.02)
    process.kill()
    process.wait()
    return False


def apart(left: Path, right: Path) -> dict[str, Any]:
    """Of the weights of two runs: whether equal in every bit, else the greatest difference."""
    one, other = (load_file(run / "supernet.safetensors") for run in (left, right))
    greatest = max(float((one[name].float() - other[name].float()).abs().max()) for name in one)
    return {"equal": all(torch.equal(one[name], other[name]) for name in one), "greatest_difference": greatest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--as-training", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--space", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--epochs", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_training is not None:
        asked = TrainSettings(data=given.data, epochs=given.epochs, device=given.device, save_every_s=0.5)
        train(Run(given.as_training), asked, space=given.space)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, until = Path(name), time.monotonic() + given.seconds
        gpu = given.device != "cpu"
        if gpu:
            write_images(folder / "images", 1500)
            (folder / "space.yaml").write_text(SPACE)
        space, data = (str(folder / "space.yaml"), str(folder / "images")) if gpu else ("vitas-digits", "digits")
        alone, killed = folder / "alone", folder / "killed"
        epochs = 6 if gpu else 2
        found: dict[str, Any] = {"device": given.device, "epochs": epochs, "torch": torch.__version__}
        found["alone_s"] = finish(command(alone, given.device, space, data, epochs), until - time.monotonic())
        words = command(killed, given.device, space, data, epochs)
        found["killed"] = kill_once_kept(words, killed / "training.pt", until - time.monotonic())
        found["resumed_s"] = finish(words, until - time.monotonic())
        found |= apart(alone, killed)
        print(json.dumps(found, indent=1), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
