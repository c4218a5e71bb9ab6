"""Images a second decoded, augmented and batched on a CPU, ours beside timm's own ``create_loader``.

    python benchmarks/data_road.py [--images 4096] [--output benchmarks/results/data_road.json]

A folder of JPEG files, 500 x 375 pixels of noise with a photograph's spectrum, at 224 with the paper's supernet
augmentation (crops, flips, erasing). Both have the same files, transforms, workers, threads and batch size; the clock
runs after the first batches: starting workers is no matter of an epoch of ImageNet. timm's loader runs with its
prefetcher (workers hand over 8-bit images, which are normalised and erased in this process) and without it; the goal is
against the faster one of the two. All alternate, five times.

timm's prefetcher hands a batch over only once it holds the next one. The others are read one batch ahead too: two
workers finish their batches in pairs, so that one batch more or less at either end of a short epoch would move the
result by a twentieth.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_tools import RESULTS, spread, write
from PIL import Image
from timm.data import create_dataset, create_loader

from vitas_hw.data import IndexedPart, Preprocessing
from vitas_hw.data.splits import Pass
from vitas_hw.data.timm_sources import folders
from vitas_hw.training.recipe import VITAS_SUPERNET

GOAL = 1.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE, WIDTH, HEIGHT = 224, 500, 375
QUALITY, CLASSES = 90, 10
SKIPPED = 2  # batches before the clock starts
HOW = VITAS_SUPERNET.augmentation


def photograph(rng: np.random.Generator) -> Image.Image:
    """Noise whose amplitude falls with the frequency, as that of photographs does, in correlated colours."""
    rows, columns = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / WIDTH)
    layers = []
    for _ in range(3):
        phase = np.exp(2j * np.pi * rng.random(amplitude.shape))
        layer = np.fft.irfft2(amplitude * phase, s=(HEIGHT, WIDTH))
        layers.append((layer - layer.mean()) / layer.std())
    gray, *colours = layers
    pixels = np.stack([gray, gray + 0.3 * colours[0], gray + 0.3 * colours[1]], 2)
    return Image.fromarray((128 + 55 * pixels).clip(0, 255).astype(np.uint8))


def make(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        folder = root / "train" / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        photograph(rng).save(folder / f"{number}.jpg", quality=QUALITY)


def ours(root: Path, workers: int, batch: int, epoch: int) -> Iterable[Any]:
    source = folders(str(root), {}).train
    how = Preprocessing((SIZE, SIZE), MEAN, STD, "bicubic", 0.875)
    part = IndexedPart(source, tuple(range(len(source.labels))), how)
    return part.batches(Pass(epoch=epoch, seed=0, batch_size=batch, augmentation=HOW, workers=workers))


def timms(root: Path, workers: int, batch: int, epoch: int, *, prefetcher: bool) -> Iterable[Any]:
    torch.manual_seed(epoch)
    assert HOW.crop_scale is not None
    return create_loader(
        create_dataset("", root=str(root / "train")),
        input_size=(3, SIZE, SIZE),
        batch_size=batch,
        is_training=True,
        use_prefetcher=prefetcher,
        device=torch.device("cpu"),
        no_aug=False,
        scale=HOW.crop_scale,
        hflip=HOW.hflip,
        re_prob=HOW.erasing,
        re_mode="pixel",
        color_jitter=None,
        interpolation="bicubic",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        persistent_workers=False,
        pin_memory=False,
    )


def one_ahead(loader: Iterable[Any]) -> Iterator[Any]:
    """Hands a batch over once it holds the next one, as timm's prefetcher does."""
    held: list[Any] = []
    for batch in loader:
        yield from held
        held = [batch]
    yield from held


def images_a_second(batches: Iterable[Any], batch: int) -> float:
    """Between two arrivals, of the last skipped batch and of the last but one: the last has no next one to wait for."""
    arrivals, counts = [], []
    for images, labels in batches:
        arrivals.append(time.perf_counter())
        counts.append(len(labels))
        assert images.shape == (len(labels), 3, SIZE, SIZE)
        assert images.dtype == torch.float32
    between = counts[SKIPPED:-1]
    assert sum(between) >= batch, "too few images"
    return sum(between) / (arrivals[-2] - arrivals[SKIPPED - 1])


WAYS: dict[str, Callable[..., Iterable[Any]]] = {
    "ours": ours,
    "timm": partial(timms, prefetcher=True),
    "timm without prefetcher": partial(timms, prefetcher=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of this process; a worker has one")
    parser.add_argument("--output", type=Path, default=RESULTS / "data_road.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(given.threads)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.images)
        for workers in given.workers:
            rates: dict[str, list[float]] = {name: [] for name in WAYS}
            for number in range(given.rounds):
                first = number % len(WAYS)
                for name in [*WAYS][first:] + [*WAYS][:first]:
                    loader = WAYS[name](Path(folder), workers, given.batch, number)
                    rates[name].append(images_a_second(loader if name == "timm" else one_ahead(loader), given.batch))
                print(workers, {name: round(one[-1], 1) for name, one in rates.items()}, flush=True)
            other = np.maximum(rates["timm"], rates["timm without prefetcher"])
            ratio = spread((np.array(rates["ours"]) / other).tolist())
            print(f"{workers} workers: ours over timm's faster one {ratio}, goal {GOAL}", flush=True)
            found[str(workers)] = {"images_a_second": rates, "ratio": {"goal": GOAL} | ratio}
    settings = {key: value for key, value in vars(given).items() if key != "output"}
    write(given.output, {"workers": found}, settings, load)


if __name__ == "__main__":
    main()
