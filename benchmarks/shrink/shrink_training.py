"""Training any arm's net with the library's loop, so that nothing but the method differs; and what its row says."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pays_finish
import pays_images
import pays_train
import torch
from pays_search import library_data
from run_study import read
from shrink_setup import CLASSES, HERE
from torch import nn

from vitas_hw.core import append_line
from vitas_hw.core.records import to_json
from vitas_hw.data import ImageData
from vitas_hw.profiling.environment import environment
from vitas_hw.training import ModelObjective, Recipe, Runtime, Training, accuracy
from vitas_hw.training.checkpoint import load_state


@dataclass(frozen=True)
class Folder:
    """Where the study's files are: rows and sealed predictions are committed, checkpoints and weights are not."""

    path: Path = HERE
    kept: Path = HERE / "kept"  # weights and checkpoints

    @property
    def rows(self) -> Path:
        return self.path / "rows.jsonl"

    @property
    def parts(self) -> Path:
        """What a row was made of: supernets, searches, with what they cost."""
        return self.path / "parts.jsonl"

    @property
    def shapes(self) -> Path:
        return self.path / "shapes.json"

    @property
    def profile(self) -> Path:
        return self.path / "profile.jsonl"

    @property
    def latencies(self) -> Path:
        return self.path / "latencies.json"

    @property
    def road(self) -> Path:
        return self.path / "road.json"

    @property
    def original(self) -> Path:
        return self.path / "original.safetensors"

    @property
    def sealed(self) -> Path:
        return self.path / "sealed"

    @property
    def test(self) -> Path:
        return self.path / "test.json"


@cache
def images() -> ImageData:
    """Fashion-MNIST without the labels of its test part, which is empty here."""
    return library_data()


def fit(
    model: nn.Module,
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    about: dict[str, Any],
    *,
    teacher: nn.Module | None = None,
    objective: Callable[[], ModelObjective] | None = None,
) -> dict[str, Any] | None:
    """Train in place; what it cost over all sittings, as a row's fields. A signal ends it after the step, in the state
    of ``checkpoint``; the same call goes on from there.

    Args:
        model: what is trained.
        recipe: how.
        seed: of order and images.
        checkpoint: its place; removed by whoever keeps the result, see ``done``.
        about: what tells this training from others.
        teacher: of its loss.
        objective: instead of that of a plain model.
    """
    data, clock = images(), _Clock(checkpoint.with_suffix(".seconds"))
    settings = to_json({**about, "seed": seed, "recipe": asdict(recipe), "images": len(data.train)})
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = load_state(checkpoint, settings)
    if state is None:
        clock.forget()
    try:
        history = Training(
            objective() if objective else ModelObjective(model, recipe, teacher=teacher),
            data.train,
            recipe,
            seed=seed,
            num_classes=CLASSES,
            runtime=Runtime(device="cpu"),
            checkpoint=(checkpoint, settings),
            callback=_Printed(),
        ).run(state)
    finally:
        clock.keep()
    if history is None:
        return None
    told = {"losses": [round(loss, 5) for loss in history], "recipe": asdict(recipe), "images": len(data.train)}
    return told | clock.told


class _Printed:
    """A ``Callback`` that prints the loss of each epoch."""

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        print(f"  epoch {epoch}: loss {values['train/loss']:.4f}", flush=True)

    def close(self) -> None:
        """Nothing is open."""


def done(checkpoint: Path) -> None:
    """Its training is a row: forget the state."""
    for path in (checkpoint, checkpoint.with_suffix(".seconds")):
        path.unlink(missing_ok=True)


def on_search(model: nn.Module) -> dict[str, float]:
    found = accuracy(model, images().search)
    return {"top1": round(found.top1, 5), "loss": round(found.loss, 5)}


def seal(model: nn.Module, name: str, folder: Folder) -> dict[str, Any]:
    """Keep what a net says of the test images, unscored; the fields by which its row names it."""
    on_test = pays_train.classes(pays_train.logits(model.eval(), pays_images.sealed_images()))
    folder.sealed.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder.sealed / f"{name}.npz", test=on_test)
    return {"sealed": name, "sealed_sha256": pays_finish.digest(on_test)}


@cache
def machine() -> dict[str, Any]:
    asked = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return environment({"threads": torch.get_num_threads(), "commit": commit or None})


class _Clock:
    """Seconds of a training over all its sittings, kept beside its checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path, self.wall, self.cpu = path, time.perf_counter(), time.process_time()

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)

    def keep(self) -> None:
        spent = {"cpu_s": time.process_time() - self.cpu, "wall_s": time.perf_counter() - self.wall}
        append_line(self.path, spent)

    @property
    def told(self) -> dict[str, float]:
        sittings = read(self.path)
        return {key: round(sum(one[key] for one in sittings), 1) for key in ("cpu_s", "wall_s")} | {
            "sittings": len(sittings)
        }
