"""What is compared: the original, the two budgets, the arms with their settings, and what each may spend.

The unit of work is a pass: one image forward and backward through one net, whatever its size. A teacher's forward is a
third of one. Every arm has the passes of ``PASSES`` epochs at most: with a teacher, seven whole epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import vitas_hw as vh
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.training import FASHION, Recipe, of_length
from vitas_hw.training.recipe import from_pretrained, retraining_recipe

HERE = Path(__file__).parent
DATA = "fashion-mnist"  # by which the library proposes its recipes
CLASSES = 10
ORIGINAL = vh.Subnet((28, 28), 1, 4, 64, (vh.Block(4, 16, 256),) * 6, CLASSES)
LEVELS = {"half": 2, "third": 3}  # the original's p50 over this is the budget
TEACHER = 1 / 3  # passes of its forward
PASSES = 10  # epochs' worth, at most
SUPERNET_EPOCHS, RETRAIN_EPOCHS = 3, 4
EPOCHS = SUPERNET_EPOCHS + RETRAIN_EPOCHS
LONG_EPOCHS = 30  # of the scratch run that is shown beside
SEEDS = (0, 1, 2)


def original_recipe(epochs: int = 30) -> Recipe:
    """From scratch. Mirror images alone, and a peak above the library's: the pilots of the study whether the search
    pays found shifts to cost more than they give within so few epochs, and half of this rate best for half a batch.
    """
    flips = Augmentation(hflip=0.5)
    return replace(of_length(FASHION, epochs), lr=3e-3, warmup_epochs=min(2, epochs - 1), augmentation=flips)


def supernet_recipe(epochs: int = SUPERNET_EPOCHS) -> Recipe:
    """The library's for a supernet that starts from a model, cut to what it may spend."""
    return of_length(from_pretrained(FASHION), epochs)


def retrain_recipe(epochs: int) -> Recipe:
    """The library's for a subnet that starts from weights."""
    return retraining_recipe(DATA, epochs=epochs, inherits=True)


@dataclass(frozen=True)
class Setting:
    """One way to train an arm's net; ``shape`` says which of its nets it is."""

    name: str
    shape: str
    recipe: Recipe


def _pruned(name: str, **changes: Any) -> Setting:
    return Setting(name, "pruned", replace(retrain_recipe(EPOCHS), **changes))


def _drawn(name: str, shape: str, lr: float, epochs: int = EPOCHS) -> Setting:
    """From scratch, unchanged images: in seven epochs nothing is known by heart."""
    usual = of_length(FASHION, epochs)
    return Setting(name, shape, replace(usual, lr=lr, warmup_epochs=1, augmentation=Augmentation()))


def lasting(setting: Setting, epochs: int) -> Setting:
    """The same over so many epochs."""
    return replace(setting, recipe=of_length(setting.recipe, epochs))


SETTINGS = {
    "torch-pruning": (
        _pruned("as ours is retrained"),
        _pruned("twice the rate", lr=2e-3),
        _pruned("unchanged images", augmentation=Augmentation()),
    ),
    "scratch": (
        _drawn("narrow", "narrow", 3e-3),
        _drawn("narrow, twice the rate", "narrow", 6e-3),
        _drawn("short", "short", 3e-3),
    ),
    "fastnas": (Setting("as ours is retrained", "fastnas", retrain_recipe(EPOCHS)),),
}
SHORT_DEPTH = 4  # of the hand-shrunk net with fewer blocks
CHOSEN_AT = "third"  # the level whose trainings choose a peer's setting, with seed 0


def passes(images: int, epochs: int, *, nets: int = 1, teacher: bool = True, scored: int = 0) -> int:
    """Of a training.

    Args:
        images: in an epoch.
        epochs: of them.
        nets: that a step trains.
        teacher: whether a teacher looks at each image.
        scored: images on which importance was scored before.
    """
    return round(images * epochs * (nets + (TEACHER if teacher else 0)) + scored)
