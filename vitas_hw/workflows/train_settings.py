"""What a training of a super-transformer is told, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InputError
from vitas_hw.supernet.supernet import DEFAULT_SHARING, PRIVATE
from vitas_hw.training.loop import SAVE_EVERY_S
from vitas_hw.training.recipe import Recipe, supernet_recipe
from vitas_hw.workflows.run import DEFAULT_DATA

_OF_THE_RUNTIME = ("device", "workers", "compile", "max_time_s", "save_every_s")
_OF_THE_DATA = ("search_share", "train_split", "val_split", "search_split")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How to train a super-transformer; every None takes what suits the data.

    Args:
        data: see ``load_data``, as are search_share, train_split, val_split and search_split.
        sharing: weight-sharing scheme.
        private: which parts are private, see ``build_supernet``.
        budget: sampled subnets cost this much in the mean, by the identity probability searched for it; without one
            the probability is 0.5. A latency needs the run's predictor.
        epochs, batch_size, lr: of the recipe.
        sandwich, ema, accumulate, autocast: see ``Recipe``.
        teacher: see ``load_teacher``.
        init: a pretrained ViT that the super-transformer starts from, see ``fill_from_pretrained``.
        seed: of weights, subnets, order and augmentation.
        device, workers, compile, max_time_s, save_every_s: see ``Runtime``; ``auto`` takes a GPU if there is one.
    """

    data: str = DEFAULT_DATA
    search_share: float | None = None
    train_split: str | None = None
    val_split: str | None = None
    search_split: str | None = None
    sharing: str = DEFAULT_SHARING
    private: tuple[str, ...] = PRIVATE
    budget: Budget = Budget()  # noqa: RUF009  # frozen
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    sandwich: bool = False
    ema: float | None = None
    accumulate: int = 1
    autocast: str | None = None
    teacher: str | None = None
    init: str | None = None
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
        self.recipe()

    def recipe(self) -> Recipe:
        """The data's recipe with what was asked for instead. Raises InputError if they do not fit together."""
        recipe = supernet_recipe(self.data, self.epochs)
        asked = {"batch_size": self.batch_size, "lr": self.lr}
        changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        same = ("sandwich", "ema", "accumulate", "autocast")
        return replace(recipe, **changes, **{name: getattr(self, name) for name in same})

    @property
    def data_options(self) -> dict[str, Any]:
        """The keyword arguments of ``load_data``."""
        return {name: getattr(self, name) for name in _OF_THE_DATA}

    def to_dict(self) -> dict[str, Any]:
        """What decides the weights, as JSON types."""
        whole = {name: value for name, value in asdict(self).items() if name not in _OF_THE_RUNTIME}
        return whole | {"budget": self.budget.to_dict(), "private": list(self.private)}
