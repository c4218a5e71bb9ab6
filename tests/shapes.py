"""A folder of PNG images that can be told apart: discs and squares in random places, sizes and colours, with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (96, 72)  # width, height


def write_shapes(folder: Path, per_class: int, seed: int = 0) -> None:
    """Write ``disc/N.png`` and ``square/N.png``, RGB."""
    rng = np.random.default_rng(seed)
    for name in ("disc", "square"):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            ground, ink = rng.integers(0, 110, 3), rng.integers(145, 256, 3)
            side = int(rng.integers(24, 49))
            left, top = (int(rng.integers(0, limit - side)) for limit in SIZE)
            image = Image.new("RGB", SIZE, tuple(ground.tolist()))
            draw = ImageDraw.Draw(image)
            shape = draw.ellipse if name == "disc" else draw.rectangle
            shape((left, top, left + side, top + side), fill=tuple(ink.tolist()))
            noisy = np.asarray(image, np.int16) + rng.normal(0, 25, (SIZE[1], SIZE[0], 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
