"""What a training of a super-transformer is told, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.supernet.supernet import DEFAULT_SHARING, PRIVATE
from vitas_hw.training.recipe import Recipe, supernet_recipe
from vitas_hw.workflows.learning_settings import LearningSettings
from vitas_hw.workflows.run import DEFAULT_DATA

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
