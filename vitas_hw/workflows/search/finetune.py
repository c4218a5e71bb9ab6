"""The finalists of a search as plain models of their own, briefly fine-tuned side by side; the best is fine-tuned on.

What a subnet inherits says less about it than what it comes to: of a small data set, where a few seconds of training
change much, the finalists are compared after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.progress import Progress
from vitas_hw.data.load import ImageData
from vitas_hw.searching.archive import Final
from vitas_hw.searching.choosing import FINALISTS
from vitas_hw.searching.result import Candidate
from vitas_hw.supernet.supernet import Supernet, extract
from vitas_hw.training.checkpoint import State, load_state
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.recipe import Recipe, Runtime, finetune_recipe, of_length
from vitas_hw.training.trainer import Training
from vitas_hw.workflows.train.resumable import following

Judge = Callable[[nn.Module, Candidate], float]  # loss of a plain model on the search part, as it will run
_SIDE_BY_SIDE, _GOES_ON = 0.4, 0.6  # of the recipe's epochs: of all finalists together, and of the choice


@dataclass
class Finetuned:
    """A finalist's plain model, the best that it has been so far.

    Args:
        candidate: which.
        model: in evaluation mode.
        loss: what finalists are compared by, on the search split.
        history: mean loss of each epoch of its fine-tuning.
        whole: whether no training was cut short by the time.
        seed: of its trainings.
    """

    candidate: Candidate
    model: nn.Module
    loss: float
    history: list[float] = field(default_factory=list)
    whole: bool = True
    seed: int = 0


@dataclass
class Finetuning:
    """Fine-tunes and compares finalists.

    Args:
        supernet: whose weights they inherit.
        data: trained on and, its search part, compared on.
        seed: of every training.
        progress: where to report to.
        judge: the loss that compares; None is that of the model in float32.
        deadline: ends a training within a step; the best so far is kept.
        folder: keeps each training, from which the same fine-tuning goes on; None keeps none.
        about: what its trainings depend on besides seed, subnet and recipe.
        tuned: by digest, the losses that the finalists were compared by.
    """

    supernet: Supernet
    data: ImageData
    seed: int
    progress: Progress
    judge: Judge | None = None
    deadline: Deadline = field(default_factory=Deadline)
    folder: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    tuned: dict[str, float] = field(default_factory=dict, init=False)

    def recipe(self, candidate: Candidate) -> Recipe | None:
        """Of the whole fine-tuning of a finalist; None where that is no matter of seconds."""
        return finetune_recipe(self.data.name, candidate.subnet.macs, len(self.data.train))

    def best_of(self, finalists: Sequence[Candidate], earlier: Mapping[Candidate, Final]) -> Finetuned:
        """The finalist of lowest loss after a short training each, trained on.

        Args:
            finalists: the most wanted first.
            earlier: choices of earlier searches that this one may take too: one that had come to a lower loss than the
                best finalist does is made again.
        """
        brief = [one for one in finalists if self.recipe(one) is not None]
        if not brief:
            self.progress.note(
                "fine-tuning skipped, it would take too long on this data set; the weights are the supernet's"
            )
            found = self._compared(finalists if self.judge is not None else finalists[:1], trained=False)
            return min(found, key=lambda one: one.loss)
        best = self._whole(brief)
        again = {
            one: final
            for one, final in earlier.items()
            if final.loss < best.loss and (one, final.seed) != (best.candidate, best.seed)
        }
        if again:
            candidate = min(again, key=lambda one: again[one].loss)
            self.progress.note(
                f"the choice of an earlier search, {candidate.subnet.digest[:8]}, came to a lower loss on the search"
                f" split ({again[candidate].loss:.4f} against {best.loss:.4f}): it is taken again"
            )
            older = replace(self, seed=again[candidate].seed)._whole([candidate])
            best = min(best, older, key=lambda one: one.loss)
        return best

    def _whole(self, finalists: Sequence[Candidate]) -> Finetuned:
        best = min(self._compared(finalists, trained=True), key=lambda one: one.loss)
        self._train(best, _GOES_ON, "fine-tuning the choice")
        if best.whole and not best.history:
            self.progress.note(
                "fine-tuning did not lower the loss on the search split: the choice keeps the supernet's weights"
            )
        return best

    def _compared(self, finalists: Sequence[Candidate], *, trained: bool) -> list[Finetuned]:
        """As they are inherited or after a share of the fine-tuning each; once time is up, the first of them alone."""
        found: list[Finetuned] = []
        for finalist in finalists:
            if found and self.deadline.over():
                found[0].whole = False
                break
            found.append(self.inherited(finalist))
        for place, one in enumerate(found if trained else [], 1):
            self._train(one, _SIDE_BY_SIDE / FINALISTS, f"fine-tuning finalist {place} of {len(found)}")
        self.tuned |= {one.candidate.subnet.digest: one.loss for one in found}
        return found

    def inherited(self, candidate: Candidate) -> Finetuned:
        """With the supernet's weights, of a bilateral one the better side's."""
        sides = [
            extract(self.supernet, candidate.subnet, side or None, candidate.layers) for side in self.supernet.sides
        ]
        losses = [self._loss(side.eval(), candidate) for side in sides]
        best = int(np.argmin(losses))
        return Finetuned(candidate, sides[best], losses[best], seed=self.seed)

    def _train(self, one: Finetuned, share: float, what: str) -> None:
        """Keep what a share of the recipe's epochs gives, if it is better."""
        recipe = self.recipe(one.candidate)
        assert recipe is not None
        recipe = of_length(recipe, max(round(recipe.epochs * share), 1))
        if self.deadline.over():
            one.whole = False
            return
        before = {name: value.detach().clone() for name, value in one.model.state_dict().items()}
        checkpoint = self._checkpoint(one, recipe)
        training = Training(
            ModelObjective(one.model, recipe),
            self.data.train,
            recipe,
            seed=self.seed,
            num_classes=self.supernet.space.num_classes,
            runtime=Runtime(device=str(self.data.search.labels.device)),
            deadline=self.deadline,
            checkpoint=checkpoint,
        )
        state = (load_state(*checkpoint) if checkpoint else None) or State()
        with following(training, what, state, self.progress):
            done = training.run(state)
        one.whole = one.whole and done is not None
        loss = self._loss(one.model, one.candidate)
        if loss < one.loss:
            one.loss, one.history = loss, one.history + state.history
        else:
            one.model.load_state_dict(before)

    def _checkpoint(self, one: Finetuned, recipe: Recipe) -> tuple[Path, dict[str, Any]] | None:
        """A file for each training, whose name tells what it begins with and how it is made."""
        if self.folder is None:
            return None
        which = {"subnet": one.candidate.subnet.digest, "layers": one.candidate.layers, "after": one.history}
        header = dict(self.about) | which | {"seed": self.seed, "recipe": asdict(recipe)}
        name = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"tuning-{name}.pt", header

    def _loss(self, model: nn.Module, candidate: Candidate) -> float:
        return accuracy(model, self.data.search).loss if self.judge is None else self.judge(model, candidate)

    def described(self, best: Finetuned) -> dict[str, Any] | None:
        """The recipe and what it gave, for the run's manifest; None if nothing was trained."""
        recipe = self.recipe(best.candidate)
        if recipe is None:
            return None
        return asdict(recipe) | {"history": best.history, "compared": self.tuned, "loss": best.loss}
