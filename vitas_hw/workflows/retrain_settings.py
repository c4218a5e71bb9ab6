"""What a retraining is told, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.errors import one_of
from vitas_hw.training.recipe import Recipe, retraining_recipe
from vitas_hw.workflows.learning_settings import LearningSettings

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
