"""How well subnets do on the search part: the loss that ranks them, and its errors image by image.

**What is chosen.** Inside the budget the lowest loss wins, whatever it costs: a ceiling says what may be spent, and of
subnets that the images cannot tell apart the one of lowest loss is still the best guess. Cost decides between equal
losses only. So a larger ceiling, under which everything known under a smaller one may still be taken, never gets a
choice of worse loss. How many candidates lie within one standard error of the best is said beside it (``ties``);
where they are many, the cheapest of them is named, for whoever would rather lower the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float64]
MOST_KEPT = 4096  # images whose losses are kept of each subnet, the same of all: 8 KB
_LARGEST = 6e4  # a loss that is no number, or larger than float16 holds


@dataclass(frozen=True)
class Score:
    """Of one subnet on N images.

    Args:
        loss: mean cross-entropy in nats.
        top1: share of images whose label has the largest logit.
        images: N.
        losses: (K,) of the first K images, to be compared with another subnet's on the same ones.
    """

    loss: float
    top1: float
    images: int
    losses: Halves = field(compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.loss <= _LARGEST and 0 <= self.top1 <= 1 and 0 < len(self.losses) <= self.images):
            raise ValueError(f"loss {self.loss:g} and top-1 {self.top1:g} of {self.images} images are no score")
        if not np.isfinite(self.losses).all():
            raise ValueError("a loss is not finite")

    @classmethod
    def of(cls, losses: npt.NDArray[np.float32], top1: float, kept: int) -> Score:
        """From the losses (N,) of all images; the first ``kept`` are kept."""
        finite = np.clip(np.nan_to_num(losses.astype(np.float64), nan=_LARGEST), 0, _LARGEST)
        return cls(float(finite.mean()), top1, len(finite), finite[:kept].astype(np.float16))


def joined(scores: Sequence[Score]) -> Score:
    """The score on all the images of several."""
    if len(scores) == 1:
        return scores[0]
    images = [one.images for one in scores]
    return Score(
        loss=float(np.average([one.loss for one in scores], weights=images)),
        top1=float(np.average([one.top1 for one in scores], weights=images)),
        images=sum(images),
        losses=np.concatenate([one.losses for one in scores]),
    )


def paired_error(one: Score, other: Score) -> float:
    """Standard error of the difference of two subnets' mean losses, from their differences image by image.

    Far smaller than that of either mean: what is hard for one subnet is hard for the other.
    """
    if one.losses.shape != other.losses.shape or len(one.losses) < 2:
        return 0.0
    differences = one.losses.astype(np.float64) - other.losses.astype(np.float64)
    return float(differences.std(ddof=1) / np.sqrt(one.images))


def paired_errors(scores: Sequence[Score]) -> Floats:
    """(N,) of each to the best of N."""
    best = min(scores, key=lambda one: one.loss)
    return np.array([paired_error(one, best) for one in scores])
