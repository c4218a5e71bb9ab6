"""What a trained supernet says about itself: loss and top-1 by dimension, and what to do about what is not as it should
be. Numbers in, sentences out: ``workflows.train.checkup`` measures them.

All of it is about inherited weights. It is advice for whoever trains a supernet and for choices that keep its weights;
a choice that was trained on is judged by ``below_baseline`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitas_hw.core.records import Record

Losses = npt.NDArray[np.float32]
SIZE, DEPTH, WIDTH, PATCH = "size", "depth", "width", "patch size"
SMALLEST, LARGEST = "smallest", "largest"
_SAME = 2.0  # standard errors: the largest of several differences passes one by chance more often than not
# of the loss at the end; a tiny supernet's on 500 and 2,000 images of Fashion-MNIST fell by 29% and 23% in 1,000 steps,
# which were too few: three times as many gave 5 to 6 points more
_STEEP = 0.2
_FEWEST_EPOCHS = 4
_BETTER = "train for more epochs, or start from a pretrained ViT (`init`)"


@dataclass(frozen=True)
class Group(Record):
    """A few subnets alike in one dimension, all else the same as in the other groups of it.

    Args:
        dimension: ``size`` (of the smallest and the largest subnet), ``depth``, ``width`` or ``patch size``.
        name: ``largest``, or the dimension and its value.
        loss: mean cross-entropy on the search part, in nats.
        top1: mean top-1 there.
        behind: its loss above the lowest of its dimension.
        error: standard error of ``behind``, paired image by image.
    """

    dimension: str
    name: str
    loss: float
    top1: float
    behind: float
    error: float


@dataclass(frozen=True)
class Baseline(Record):
    """Top-1 on the search part, as shares.

    Args:
        commonest: of always answering the commonest class of the training images.
        linear: of a logistic regression on thumbnails of at most 16 x 16 pixels.
        images: training images that it was fitted to.
    """

    commonest: float
    linear: float
    images: int

    @property
    def best(self) -> float:
        """The better of both."""
        return max(self.commonest, self.linear)

    @property
    def name(self) -> str:
        """Which is the better of both, in words."""
        return "a linear model on thumbnails" if self.linear >= self.commonest else "always the commonest class"


@dataclass(frozen=True)
class Health(Record):
    """A supernet after its training.

    Args:
        images: of the search part, on which the groups were scored.
        groups: by dimension.
        advice: a sentence for each thing that is not as it should be.
        baseline: what trivial classifiers reach; None in files of before they were asked.
    """

    images: int
    groups: tuple[Group, ...]
    advice: tuple[str, ...]
    baseline: Baseline | None = None

    @property
    def largest_is_worse(self) -> bool:
        """Whether the largest subnet's loss is above the smallest's by more than a standard error."""
        return any(one.name == LARGEST and one.behind > one.error for one in self.groups)


def below_baseline(health: Health | None, top1: float | None) -> str:
    """A sentence for a choice that is worse than trivial classifiers; empty if it is not, or nobody knows."""
    baseline = None if health is None else health.baseline
    if baseline is None or top1 is None or top1 >= baseline.best:
        return ""
    return f"The choice's top-1 of {top1:.1%} is below {baseline.name} ({baseline.best:.1%}): {_BETTER}."


@dataclass(frozen=True)
class Scored:
    """What a group's subnets do on N images: (N,) mean loss of each image, and top-1."""

    losses: Losses
    top1: float


def grouped(dimension: str, scored: dict[str, Scored]) -> list[Group]:
    """The groups of a dimension, by name, scored on the same images."""
    best = min(scored.values(), key=lambda one: float(one.losses.mean())).losses
    found = []
    for name, one in scored.items():
        behind = (one.losses - best).astype(np.float64)
        error = float(behind.std(ddof=1) / np.sqrt(len(behind))) if len(behind) > 1 else 0.0
        loss = float(one.losses.mean(dtype=np.float64))
        found.append(Group(dimension, name, loss, one.top1, float(behind.mean()), error))
    return found


def judged(groups: Sequence[Group], history: Sequence[float], images: int, baseline: Baseline | None = None) -> Health:
    """The groups with a sentence for each thing that is not as it should be.

    Args:
        groups: of all dimensions.
        history: mean training loss of each epoch.
        images: that the groups were scored on.
        baseline: of the same images.
    """
    health = Health(images, tuple(groups), ())
    by_name = {one.name: one for one in groups}
    advice = []
    if health.largest_is_worse:
        small, large = by_name[SMALLEST], by_name[LARGEST]
        advice.append(
            f"The largest subnet does worse than the smallest (loss {large.loss:.3f} against {small.loss:.3f}): train"
            " for more epochs, or take the deepest and the widest choices out of the space."
        )
    for dimension in (DEPTH, WIDTH, PATCH):
        mine = [one for one in groups if one.dimension == dimension]
        if len(mine) > 1 and all(one.behind <= _SAME * one.error for one in mine):
            advice.append(
                f"The {dimension} makes no difference that {images} images can show (less than {_SAME:.0f} paired"
                " standard errors): train for more epochs, hold more images out for the search, or leave only the"
                " cheapest choice in the space."
            )
    fallen = late_fall(history)
    if fallen > _STEEP:
        advice.append(
            f"The supernet's training loss still fell steeply, by {fallen:.0%} over the second half of the epochs:"
            " train for more epochs."
        )
    best = max((one.top1 for one in groups), default=0.0)
    if baseline is not None and best < baseline.best:
        advice.append(
            f"With inherited weights even the best of these subnets ({best:.1%}) is below {baseline.name}"
            f" ({baseline.best:.1%}): {_BETTER}."
        )
    return Health(images, tuple(groups), tuple(advice), baseline)


def late_fall(history: Sequence[float]) -> float:
    """How much the training loss fell over the second half of the epochs, as a share of what it fell to.

    Middle and end are means over a tenth of the epochs; 0 if there are too few epochs to say. Not the last few epochs:
    there the learning rate ends any fall.
    """
    if len(history) < _FEWEST_EPOCHS:
        return 0.0
    losses = np.asarray(history, np.float64)
    mean, middle = max(len(losses) // 10, 1), len(losses) // 2
    before, after = losses[middle - mean : middle].mean(), losses[-mean:].mean()
    return float((before - after) / after)
