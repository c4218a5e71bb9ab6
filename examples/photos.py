"""From a folder of images to an ONNX file that classifies them: space, profile, training, search, export.

Without --folder it draws discs and squares. The settings are far too small for a good accuracy.

Usage: python photos.py --folder photos --num-subnets 120 --epochs 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import vitas_hw as vh


def draw(folder: Path, per_class: int = 20) -> None:
    """Write ``disc/N.png`` and ``square/N.png``: in random places, sizes and colours, with noise."""
    rng = np.random.default_rng(0)
    for name in ("disc", "square"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            image = Image.new("RGB", (48, 40), tuple(rng.integers(0, 110, 3).tolist()))
            side, left, top = rng.integers((16, 0, 0), (24, 24, 16)).tolist()
            pen = ImageDraw.Draw(image)
            shape = pen.ellipse if name == "disc" else pen.rectangle
            shape((left, top, left + side, top + side), fill=tuple(rng.integers(145, 256, 3).tolist()))
            noisy = np.asarray(image, np.float64) + rng.normal(0, 20, (40, 48, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")


def main() -> None:
    """Ends with an ONNX file, its top-1 on unseen test images, and an HTML report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("photos"), help="with a folder for each class")
    options.add_argument("--run", type=Path, default=Path("runs/photos"))
    options.add_argument("--num-subnets", type=int, default=20, help="120 for a good predictor")
    options.add_argument("--epochs", type=int, default=2, help="100 for a good supernet")
    given = options.parse_args()
    if not given.folder.exists():
        draw(given.folder)

    images = f"folder:{given.folder}"
    run = vh.Run(given.run, space=vh.space_for(images), data=images)
    run.profile(device="cpu", num_subnets=given.num_subnets, rounds=1)
    run.train(epochs=given.epochs)
    (largest,) = run.predict(["largest"])
    found = run.search(latency=f"{0.6 * largest.latency_ms:.3g}ms", population=4, generations=2)
    best = found.best
    print(f"{best.digest}: top-1 {best.top1:.1%} on the search split, {best.measured_ms:.3g} ms measured")
    print(f"the front has {len(found.front)} subnets, of {found.front[0].macs:,} to {found.front[-1].macs:,} MACs")

    (exported,) = run.export("onnx")
    print(f"{exported.path}: top-1 {exported.beside.top1:.1%} on {exported.parity.images} test images")
    photos = [next(folder.iterdir()) for folder in sorted(given.folder.iterdir())]
    for photo in vh.classify(exported.path, photos):
        print(f"{photo.image}: {photo.label} ({photo.share:.0%})")
    print(f"Report: {run.report()}")


if __name__ == "__main__":
    main()
