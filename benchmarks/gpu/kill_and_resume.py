"""A training killed and resumed on this device, beside one that was left alone: the same weights, or how far apart?

    PYTHONPATH=. python benchmarks/gpu/kill_and_resume.py --seconds 150 --out resume.json [--device cuda:0]

The images are scikit-learn's digits, enlarged and saved as JPEG files in folders; on a CPU few and small ones, to try
it. The kill is signal 9, as soon as the training has kept a state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from vitas_hw.runs import Run
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

SPACE = """image_size: [{side}, {side}]
in_chans: 3
num_classes: 10
patch_sizes: [16]
embed_dims: [128, 192]
depth: [2, 6]
num_heads: [2, 3]
head_dim: 64
mlp_ratios: [2, 4]
"""


@dataclass(frozen=True)
class Size:
    """Pixels of a side, images, epochs, batch."""

    side: int
    images: int
    epochs: int
    batch_size: int


SIZES = {"cuda": Size(224, 1500, 6, 128), "cpu": Size(32, 160, 3, 32)}


def write_images(folder: Path, size: Size) -> None:
    """Folders ``0`` to ``9`` of JPEG files."""
    digits, times = load_digits(), size.side // 8
    for number in range(size.images):
        pixels = np.kron(digits.images[number] * 15, np.ones((times, times))).astype(np.uint8)
        path = folder / str(digits.target[number]) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert("RGB").save(path)


def command(run: Path, device: str, folder: Path) -> list[str]:
    return [sys.executable, __file__, "--as-training", str(run), "--device", device, "--folder", str(folder)]


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
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = SIZES[given.device.partition(":")[0]]
    if given.as_training is not None:
        asked = TrainSettings(
            data=f"folder:{given.folder / 'images'}",
            epochs=size.epochs,
            batch_size=size.batch_size,
            device=given.device,
            save_every_s=0.0,
        )
        train(Run(given.as_training), asked, space=str(given.folder / "space.yaml"))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, until = Path(name), time.monotonic() + given.seconds
        write_images(folder / "images", size)
        (folder / "space.yaml").write_text(SPACE.format(side=size.side))
        alone, killed = folder / "alone", folder / "killed"
        found: dict[str, Any] = {"device": given.device, **asdict(size), "torch": torch.__version__}
        found["alone_s"] = finish(command(alone, given.device, folder), until - time.monotonic())
        words = command(killed, given.device, folder)
        found["killed"] = kill_once_kept(words, killed / "training.pt", until - time.monotonic())
        found["resumed_s"] = finish(words, until - time.monotonic())
        found |= apart(alone, killed)
        print(json.dumps(found, indent=1), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
