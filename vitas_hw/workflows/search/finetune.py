"""The choice of a search as a plain model of its own, briefly fine-tuned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from vitas_hw.core.progress import Progress
from vitas_hw.data.load import ImageData
from vitas_hw.searching.result import Candidate
from vitas_hw.supernet.supernet import Supernet, extract
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.recipe import Runtime, finetune_recipe
from vitas_hw.training.trainer import Training


@dataclass(frozen=True)
class Finetuned:
    """A plain model and its top-1 on the search split.

    ``about`` is the recipe and the mean loss of each epoch (``history``), for the run's manifest; None if the model
    keeps the supernet's weights.
    """

    model: nn.Module
    top1: float
    about: dict[str, Any] | None


def finetuned(supernet: Supernet, data: ImageData, choice: Candidate, seed: int, progress: Progress) -> Finetuned:
    """Extract the choice (of a bilateral supernet the better side) and fine-tune it where that is brief."""
    sides = [extract(supernet, choice.subnet, side or None, choice.layers) for side in supernet.sides]
    model = max(sides, key=lambda side: accuracy(side, data.search).top1) if len(sides) > 1 else sides[0]
    recipe = finetune_recipe(data.name, choice.subnet.macs, len(data.train))
    about = None
    if recipe is None:
        progress.note("fine-tuning skipped, it would take too long on this data set; the weights are the supernet's")
    else:
        with progress.step("fine-tuning the choice", recipe.epochs) as advance:
            losses = Training(
                ModelObjective(model, recipe),
                data.train,
                recipe,
                seed=seed,
                num_classes=supernet.space.num_classes,
                runtime=Runtime(device=str(data.search.labels.device)),
                on_epoch=lambda loss: advance(f"loss {loss:.3f}"),
            ).run()
        about = asdict(recipe) | {"history": losses or []}
    return Finetuned(model, accuracy(model, data.search).top1, about)
