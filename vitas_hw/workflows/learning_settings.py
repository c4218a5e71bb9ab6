"""What every training is told, whatever it trains, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.training.loop import SAVE_EVERY_S, Runtime
from vitas_hw.training.recipe import Recipe

_OF_THE_RUNTIME = ("device", "workers", "compile", "max_time_s", "save_every_s")


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """Recipe, teacher, seed, and where and how long; every None takes what suits the data.

    Args:
        epochs, batch_size, lr, ema, accumulate, autocast: see ``Recipe``.
        teacher: see ``load_teacher``.
        seed: of weights, subnets, order and augmentation.
        device, workers, compile, max_time_s, save_every_s: see ``Runtime``; ``auto`` takes a GPU if there is one.

    Raises:
        InputError: an impossible value.
    """

    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    ema: float | None = None
    accumulate: int = 1
    autocast: str | None = None
    teacher: str | None = None
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    compile: bool = False
    max_time_s: float | None = None
    save_every_s: float = SAVE_EVERY_S

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"--workers must be at least 0, not {self.workers}.")
        if self.max_time_s is not None and not 0 < self.max_time_s < math.inf:
            raise InputError(f"--max-time must be above 0, not {self.max_time_s} s.")

    def changed(self, recipe: Recipe, **more: Any) -> Recipe:
        """A recipe of the wanted length with what was asked for instead; None in ``more`` changes nothing."""
        asked = {"batch_size": self.batch_size, "lr": self.lr, **more}
        changes = {name: value for name, value in asked.items() if value is not None}
        return replace(recipe, ema=self.ema, accumulate=self.accumulate, autocast=self.autocast, **changes)

    def runtime(self, device: str, spent_s: float) -> Runtime:
        """How the training runs on ``device`` once ``spent_s`` seconds of its time are gone."""
        left = None if self.max_time_s is None else max(self.max_time_s - spent_s, 1e-3)
        return Runtime(
            device=device,
            workers=self.workers,
            compile=self.compile,
            max_time_s=left,
            save_every_s=self.save_every_s,
        )

    def to_dict(self) -> dict[str, Any]:
        """What decides the weights, as JSON types."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_THE_RUNTIME}
