"""What a training of a super-transformer is told, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InputError, one_of
from vitas_hw.runs.directory import DEFAULT_DATA
from vitas_hw.supernet.supernet import DEFAULT_SHARING, PRIVATE
from vitas_hw.training.recipe import Recipe, retraining_recipe, supernet_recipe
from vitas_hw.training.trainer import SAVE_EVERY_S, Runtime

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


_OF_THE_DATA = ("search_share", "train_split", "val_split", "search_split")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(LearningSettings):
    """How to train a super-transformer: what every training is told, and this; every None takes what suits the data.

    Args:
        data: see ``load_data``, as are search_share, train_split, val_split and search_split.
        sharing: weight-sharing scheme.
        private: which parts are private, see ``build_supernet``.
        budget: sampled subnets cost this much in the mean, by the identity probability searched for it; without one
            the probability is 0.5. A latency needs the run's predictor.
        sandwich: see ``Recipe``.
        init: a pretrained ViT that the super-transformer starts from, see ``fill_from_pretrained``.
    """

    data: str = DEFAULT_DATA
    search_share: float | None = None
    train_split: str | None = None
    val_split: str | None = None
    search_split: str | None = None
    sharing: str = DEFAULT_SHARING
    private: tuple[str, ...] = PRIVATE
    budget: Budget = Budget()  # noqa: RUF009  # frozen
    sandwich: bool = False
    init: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recipe()  # what is impossible for any number of images ends here

    def recipe(self, images: int | None = None) -> Recipe:
        """The recipe for the data, of so many training images, with what was asked for instead.

        Raises InputError if they do not fit together.
        """
        return self.changed(supernet_recipe(self.data, images, self.epochs), sandwich=self.sandwich)

    @property
    def data_options(self) -> dict[str, Any]:
        """The keyword arguments of ``load_data``."""
        return {name: getattr(self, name) for name in _OF_THE_DATA}

    def to_dict(self) -> dict[str, Any]:
        """What decides the weights, as JSON types."""
        return super().to_dict() | {"budget": self.budget.to_dict(), "private": list(self.private)}


INITS = ("fresh", "supernet")


@dataclass(frozen=True, kw_only=True)
class RetrainSettings(LearningSettings):
    """How to train one subnet: what every training is told, and this.

    Args:
        init: ``fresh`` weights, or those of the run's ``supernet``, with a tenth of the epochs.
        teacher: also ``supernet``, its largest subnet.
        data: of a subnet outside of the run; None is the run's.
        drop_path: see ``Recipe``.
    """

    init: str = "fresh"
    data: str | None = None
    drop_path: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init not in INITS:
            raise one_of(self.init, INITS, "start of a retraining")
        self.recipe(self.data or "digits")

    def recipe(self, data: str, images: int | None = None) -> Recipe:
        """The recipe for a data set by name, of so many training images, with what was asked for instead."""
        usual = retraining_recipe(data, images, self.epochs, inherits=self.init == "supernet")
        return self.changed(usual, drop_path=self.drop_path)
