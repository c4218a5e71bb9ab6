"""A user's walk with real images: 3,000 of Fashion-MNIST as PNG files, the five commands of docs/your-data.md.

    PYTHONPATH=tests python benchmarks/user_walk.py [--folder KEEP] [--output benchmarks/results/user_walk.json]

All defaults, on a quiet machine. The exported choice and a linear model on thumbnails (that of ``train``'s baseline)
are scored on the validation images, which are a part of the folder that neither training nor search has seen. It needs
Fashion-MNIST's training files (Debian: ``apt-get install dataset-fashion-mnist``; elsewhere ``FASHION_MNIST=FOLDER``).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench_tools import RESULTS
from newcomer_walk import walk
from PIL import Image

from vitas_hw.core import Subnet
from vitas_hw.data.sources import FASHION_MNIST
from vitas_hw.profiling.environment import environment
from vitas_hw.runs import Run, load_run_data
from vitas_hw.training.baseline import baseline_of

IMAGES = 3000
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def write_images(folder: Path) -> None:
    source = Path(os.environ.get("FASHION_MNIST", FASHION_MNIST))
    with gzip.open(source / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + IMAGES * 784), np.uint8, offset=16).reshape(IMAGES, 28, 28)
    with gzip.open(source / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + IMAGES), np.uint8, offset=8)
    for place, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / CLASSES[label] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "user_walk.json")
    parser.add_argument("--folder", type=Path, help="an empty one to keep images and run in")
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        write_images(folder / "photos")
        seconds = walk(folder, {})
        run = Run(folder / "runs/default")
        searched = json.loads(run.result.read_text())
        exported = json.loads(run.onnx.with_suffix(".onnx.parity.json").read_text())
        os.chdir(folder)  # the run names its images as they were given
        data = load_run_data(run, run.space(None))
        baseline = baseline_of(replace(data, search=data.test))
        digest = Subnet.from_dict(searched["choice"]["subnet"]).digest
        result = {
            "seconds": round(sum(seconds.values()), 1),
            "seconds_of_each": {command: round(value, 1) for command, value in seconds.items()},
            "images": IMAGES,
            "validation_images": len(data.test),
            "top1": exported["exported"]["others"]["onnx"]["top1"],
            "linear_top1": round(baseline.linear, 5),
            "budget_ms": searched["budget"]["latency_ms"][1],
            "measured_ms": searched["measured_ms"].get(digest),
            "environment": environment({"load_before": load_before}),
        }
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    goals = {"seconds": "<= 900", "top1": ">= linear_top1"}
    for key, value in result.items():
        if key != "environment":
            print(f"{key:20} {value}   {goals.get(key, '')}")


if __name__ == "__main__":
    main()
