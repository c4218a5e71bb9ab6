"""What the training loop costs on small nets: its images a second over those of a bare PyTorch loop of the same model.

    python benchmarks/training_loop.py [--rounds 5] [--output benchmarks/results/training_loop.json]

Nets of 1M and 6M MACs on gray images of 28 x 28, and the supernet of ``vitas-digits``; images in memory, one thread.
The bare loop is what one writes in twenty lines: a permutation, AdamW, a cosine learning rate, clipped gradients; with
augmentation, turns, shifts and scales by ``affine_grid``. The supernet's bare loop draws the same subnets as ours. In
each round both run once, in alternating order. The ratio of CPU seconds stands beside that of the clock: on a machine
that does other things it is the steadier one.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_tools import RESULTS, spread, write
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.core import Block, Subnet
from vitas_hw.core.operators import operators
from vitas_hw.data import IndexedPart, Preprocessing
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.sources import ArraySource
from vitas_hw.supernet import Supernet, build_model
from vitas_hw.training import ModelObjective, Recipe, SupernetObjective, Training

GOAL = 0.95
MEAN, STD = 0.286, 0.353
SLIGHT = Augmentation(max_shift=0.08, max_rotation=8.0, max_scale=0.08)
RECIPE = Recipe(epochs=2, batch_size=128, lr=1e-3, warmup_epochs=1, clip_grad=1.0)
SMALL = {
    name: Subnet(
        patch_size=7,
        embed_dim=width,
        blocks=(Block(2, width // 2, 4 * width),) * depth,
        image_size=(28, 28),
        in_chans=1,
        num_classes=10,
    )
    for name, width, depth in (("1M", 48, 2), ("6M", 84, 4))
}


@dataclass(frozen=True)
class Case:
    """A model, made anew for each run; with subnets if it is a supernet."""

    name: str
    build: Callable[[], nn.Module]
    space: Any
    recipe: Recipe
    images: int

    def part(self) -> IndexedPart:
        rng, size = np.random.default_rng(0), self.space.image_size
        pixels = rng.integers(0, 256, (self.images, *size), dtype=np.uint8)
        names = tuple("0123456789")
        source = ArraySource(pixels, torch.from_numpy(rng.integers(0, 10, self.images)), names)
        part = IndexedPart(
            source, tuple(range(self.images)), Preprocessing(size, (MEAN,), (STD,), "bilinear"), keep=True
        )
        assert len(part.images) == self.images  # decoded now
        return part

    def objective(self, model: nn.Module) -> ModelObjective:
        if isinstance(model, Supernet):
            return SupernetObjective(model, self.recipe)
        return ModelObjective(model, self.recipe)


def ours(case: Case, part: IndexedPart) -> Callable[[], None]:
    model = case.build()
    training = Training(case.objective(model), part, case.recipe, seed=0, num_classes=10)
    return lambda: training.run() and None


def bare(case: Case, part: IndexedPart) -> Callable[[], None]:
    model, recipe = case.build().train(), case.recipe
    steps = -(-case.images // recipe.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps)
    losses, objective = [], case.objective(model)

    def forward(images: Tensor, number: int) -> Tensor:
        if not isinstance(model, Supernet):
            return model(images)
        (code,) = objective.codes(0, number)
        return model(images, case.space.decode(code), layers=case.space.layers(code))

    def run() -> None:
        for number, (images, labels) in enumerate(batches(part, recipe)):
            loss = F.cross_entropy(forward(images, number), labels, label_smoothing=recipe.label_smoothing)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            losses.append(loss.item())
        assert math.isfinite(sum(losses))

    return run


def batches(part: IndexedPart, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    how = recipe.augmentation
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(part)).split(recipe.batch_size):
            images = part.images[chosen].float()
            if how.any:
                angle, right, down, scale = 2 * torch.rand(4, len(chosen)) - 1
                angle, scale = torch.deg2rad(angle * how.max_rotation), 1 + scale * how.max_scale
                cos, sin, shift = torch.cos(angle) / scale, torch.sin(angle) / scale, 2 * how.max_shift
                rows = torch.stack([cos, sin, right * shift]), torch.stack([-sin, cos, down * shift])
                grid = F.affine_grid(torch.stack(rows).permute(2, 0, 1), list(images.shape), align_corners=False)
                images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
            yield (images / 255 - MEAN) / STD, part.labels[chosen]


def contest(case: Case, rounds: int) -> dict[str, Any]:
    """Images a second of both in each round, by the clock and by CPU seconds; the first round does not count."""
    part, work = case.part(), case.recipe.epochs * case.images
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    makers = {"ours": ours, "bare": bare}
    for number in range(rounds + 1):
        for name in list(makers)[:: 1 if number % 2 else -1]:
            run = makers[name](case, part)
            clock, cpu = time.perf_counter(), time.process_time()
            run()
            seconds = time.perf_counter() - clock, time.process_time() - cpu
            if number:
                found[name].append((work / seconds[0], work / seconds[1]))
    ratios = np.array(found["ours"]) / np.array(found["bare"])
    return {
        "images": case.images,
        "batch_size": case.recipe.batch_size,
        "images_a_second": found,
        "ratio": {"goal": GOAL, "clock": spread(ratios[:, 0].tolist()), "cpu": spread(ratios[:, 1].tolist())},
    }


def cases(scale: float) -> list[Case]:
    found = [
        Case(
            f"{name} MACs, {'augmented' if how.any else 'as they are'}",
            lambda subnet=subnet: build_model(subnet, seed=0),  # type: ignore[misc]
            subnet,
            replace(RECIPE, augmentation=how),
            max(round(scale * 10_000), 256),
        )
        for name, subnet in SMALL.items()
        for how in (Augmentation(), SLIGHT)
    ]
    space = vh.load_space("vitas-digits")
    recipe = replace(RECIPE, batch_size=64)
    count = max(round(scale * 1077), 128)
    return [*found, Case("supernet of vitas-digits", lambda: vh.build_supernet(space, seed=0), space, recipe, count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of images")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "training_loop.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(given.threads)
    macs = {name: int(operators([subnet]).macs[0]) for name, subnet in SMALL.items()}
    print(f"MACs: {macs}; goal of the ratio: {GOAL}", flush=True)
    rows = {}
    for case in cases(given.scale):
        if given.only in case.name:
            rows[case.name] = row = contest(case, given.rounds)
            clock, cpu = row["ratio"]["clock"], row["ratio"]["cpu"]
            print(
                f"{case.name:28} clock {clock['median']:.3f} {clock['median_95']}, CPU {cpu['median']:.3f}", flush=True
            )
    settings = {key: value for key, value in vars(given).items() if key != "output"}
    write(given.output, {"macs": macs, "cases": rows}, settings, load)


if __name__ == "__main__":
    main()
