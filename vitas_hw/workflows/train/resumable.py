"""A training of a run: it starts, goes on where it was killed, and stops in time."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.progress import Progress
from vitas_hw.core.settings import what_decides
from vitas_hw.data.load import ImageData
from vitas_hw.training.callbacks import Callback
from vitas_hw.training.checkpoint import State, load_state
from vitas_hw.training.checkpoint_header import OtherSettingsError
from vitas_hw.training.distributed import Ranks
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.recipe import Recipe
from vitas_hw.training.trainer import Training
from vitas_hw.workflows.train.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Resumable:
    """A training about to run.

    Args:
        what: is trained, in words.
        settings: seed, device, workers, time.
        recipe: how.
        data: whose train part.
        device: torch's name.
        ranks: of this process.
        checkpoint: where its state is kept.
        about: what else decides the weights than settings, recipe, images and processes; a training does not go on from
            the checkpoint of one that differs in any of them.
        progress: where to report to.
        deadline: when to stop.
    """

    what: str
    settings: TrainingSettings
    recipe: Recipe
    data: ImageData
    device: str
    ranks: Ranks
    checkpoint: Path
    about: dict[str, Any]
    progress: Progress
    deadline: Deadline

    @property
    def settled(self) -> dict[str, Any]:
        """What was asked for and the recipe it came to, as a run keeps it."""
        return what_decides(self.settings) | {"recipe": asdict(self.recipe)}

    def state(self, *, fresh: bool | None) -> State:
        """What to begin with or to go on from; asked of one process, known to all.

        Args:
            fresh: forget an unfinished training; None does so only if it was one with other settings.

        Raises:
            InputError: the unfinished training had other settings.
            FileError: its checkpoint is broken.
        """
        return self.ranks.on_first(lambda: self._state(fresh))

    def run(self, objective: ModelObjective, state: State, callback: Callback | None = None) -> list[float] | None:
        """Train in place; None if time ran out first.

        Args:
            objective: its teacher on the device.
            state: see ``state``; moves on.
            callback: see ``Training``.
        """
        if self.settings.batch_size is not None:
            rate, images = self.recipe.lr, self.recipe.batch_size
            how = "as asked for" if self.settings.lr is not None else "scaled with it"
            self.progress.note(f"batches of {images} images, peak learning rate {rate:g} ({how})")
        if self.device == "cpu":
            self.progress.note(f"computing with {torch.get_num_threads()} of {os.cpu_count()} CPU threads")
        # the first process alone scores what comes out; a broken image ends the training now, not after it
        self.ranks.on_first(lambda: self.data.search.ready(lambda: self.deadline.check("the training began")))
        if state.begun:
            self.progress.note(f"going on from {self.checkpoint}: epoch {state.epoch + 1}, step {state.step + 1}")
        training = Training(
            objective,
            self.data.train,
            self.recipe,
            seed=self.settings.seed,
            num_classes=len(self.data.class_names),
            runtime=self.settings.runtime(self.device),
            ranks=self.ranks,
            deadline=self.deadline,
            checkpoint=(self.checkpoint, self._header()),
            callback=callback,
        )
        with following(training, f"training {self.what} on {self.data.name}", state, self.progress):
            return training.run(state)

    def tell_stopped(self) -> None:
        """Say how a training goes on that ran out of time."""
        told = f"time is up: {self.checkpoint} holds its state; repeat the command to resume"
        if not self.checkpoint.exists():
            told = "time is up within the first epoch of streamed images: nothing could be kept; allow more time"
        self.progress.note(told)

    def _state(self, fresh: bool | None) -> State:
        if fresh:
            self.checkpoint.unlink(missing_ok=True)
        try:
            return load_state(self.checkpoint, self._header()) or State()
        except OtherSettingsError:
            if fresh is None:
                self.checkpoint.unlink()
                return State()
            raise

    def _header(self) -> dict[str, Any]:
        return self.settled | self.about | {"processes": self.ranks.world, "images": images_sha256(self.data)}


@contextmanager
def following(training: Training, text: str, state: State, progress: Progress) -> Iterator[None]:
    """Report the training's steps: epoch, loss of the last one, images a second since it began or went on."""
    epochs, steps, images = training.recipe.epochs, training.steps, len(training.part)
    began, seen_before = time.monotonic(), state.epoch * images + state.seen

    def tell(now: State) -> None:
        rate = (now.epoch * images + now.seen - seen_before) / max(time.monotonic() - began, 1e-9)
        loss = f"loss {now.history[-1]:.3f}, " if now.history else ""
        advance(f"epoch {min(now.epoch + 1, epochs)} of {epochs}, {loss}{rate:.0f} images/s")

    with progress.step(text, epochs * steps, state.epoch * steps + state.step) as advance:
        training.on_step = tell
        yield


def images_sha256(data: ImageData) -> str:
    """Of which images are in which part: a training does not go on with others."""
    parts = [data.train.indices, data.search.indices, data.search.labels.tolist(), data.test.indices]
    return hashlib.sha256(json.dumps([len(data.train), *parts]).encode()).hexdigest()[:16]
