"""What a retraining is told, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.training.augmentation import Augmentation
from vitas_hw.training.loop import SAVE_EVERY_S
from vitas_hw.training.recipe import Recipe, supernet_recipe

INITS = ("fresh", "supernet")
_SHORTER = 10  # times fewer epochs from the super-transformer's weights
_SMALL = ("digits", "fashion-mnist")
_OF_THE_RUNTIME = ("device", "workers", "compile", "max_time_s", "save_every_s")


@dataclass(frozen=True, kw_only=True)
class RetrainSettings:
    """How to train one subnet; every None takes what suits the data.

    Args:
        init: ``fresh`` weights, or those of the run's ``supernet``, with a tenth of the epochs.
        teacher: ``supernet`` (its largest subnet), or see ``load_teacher``.
        data: of a subnet outside of the run; None is the run's.
        epochs, batch_size, lr, ema, accumulate, autocast: see ``Recipe``.
        drop_path: stochastic depth of the last block.
        seed: of weights, order and augmentation.
        device, workers, compile, max_time_s, save_every_s: see ``Runtime``; ``auto`` takes a GPU if there is one.
    """

    init: str = "fresh"
    teacher: str | None = None
    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    ema: float | None = None
    accumulate: int = 1
    autocast: str | None = None
    drop_path: float = 0.0
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    compile: bool = False
    max_time_s: float | None = None
    save_every_s: float = SAVE_EVERY_S

    def __post_init__(self) -> None:
        if self.init not in INITS:
            raise one_of(self.init, INITS, "start of a retraining")
        if self.workers < 0:
            raise InputError(f"--workers must be at least 0, not {self.workers}.")
        if self.max_time_s is not None and not 0 < self.max_time_s < math.inf:
            raise InputError(f"--max-time must be above 0, not {self.max_time_s} s.")
        if not 0 <= self.drop_path < 1:
            raise InputError(f"--drop-path is at least 0 and below 1, not {self.drop_path}.")
        self.recipe(self.data or "digits")

    def recipe(self, data: str) -> Recipe:
        """The recipe for a data set by name, with what was asked for instead.

        From scratch that is DeiT's, which the paper retrains with (ViTAS section 4.1), except for small images.
        """
        usual = _small_recipe(data) if data.partition(":")[0] in _SMALL else _deit_recipe()
        epochs = usual.epochs if self.init == "fresh" else max(usual.epochs // _SHORTER, 1)
        epochs = epochs if self.epochs is None else self.epochs
        if epochs < 1:
            raise InputError(f"--epochs must be at least 1, not {epochs}.")
        recipe = replace(usual, epochs=epochs, warmup_epochs=max(min(usual.warmup_epochs, epochs - 1), 0))
        asked: dict[str, Any] = {"batch_size": self.batch_size, "lr": self.lr}
        changes = {name: value for name, value in asked.items() if value is not None}
        return replace(recipe, **changes, **{name: getattr(self, name) for name in ("ema", "accumulate", "autocast")})

    def to_dict(self) -> dict[str, Any]:
        """What decides the weights, as JSON types."""
        return {name: value for name, value in asdict(self).items() if name not in _OF_THE_RUNTIME}


def _deit_recipe() -> Recipe:
    return Recipe(
        epochs=300,
        batch_size=1024,
        lr=1e-3,
        warmup_epochs=5,
        augmentation=Augmentation(crop_scale=(0.08, 1.0), hflip=0.5, auto_augment="rand-m9-mstd0.5-inc1", erasing=0.25),
        mixup=0.8,
        cutmix=1.0,
    )


def _small_recipe(data: str) -> Recipe:
    """The super-transformer's, with the small changes of an image that the fine-tuning after a search makes."""
    slight = Augmentation(max_shift=0.08, max_rotation=8.0, max_scale=0.08)
    return replace(supernet_recipe(data), augmentation=slight)
