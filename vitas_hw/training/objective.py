"""What a training step minimises: modules from images and targets to a loss, so that DDP can wrap them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.recipe import Recipe

Code = tuple[int, ...]
_RANDOM_OF_A_SANDWICH = 2


class ModelObjective(nn.Module):
    """Of a plain model: cross entropy with the labels, and with a teacher's logits if there is a teacher.

    Called with images (B, C, H, W), targets, which are labels (B,) or shares (B, classes), and codes.

    Args:
        trained: whose weights are trained.
        recipe: label smoothing, weight of the teacher.
        teacher: from images to logits, on the same device; not trained.
    """

    trained: Any

    def __init__(self, trained: nn.Module, recipe: Recipe, *, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.trained, self.recipe = trained, recipe
        self._teach = None if teacher is None else teacher.__call__  # no module: it is not this module's to train

    def codes(self, seed: int, step: int) -> tuple[Code, ...]:  # noqa: ARG002
        """The subnets of an optimizer step: the same in every process, and again after a restart."""
        return ()

    def compile_parts(self) -> None:
        """Have ``torch.compile`` compile, on first use, what is worth it."""
        self.trained.compile()

    def forward(self, images: Tensor, targets: Tensor, codes: Sequence[Code]) -> Tensor:  # noqa: ARG002
        """The loss."""
        return self._loss(self.trained(images), targets, self._soft(images))

    def _soft(self, images: Tensor) -> Tensor | None:
        if self._teach is None:
            return None
        with torch.no_grad():
            shares: Tensor = self._teach(images).softmax(-1)
        return shares

    def _loss(self, logits: Tensor, targets: Tensor, soft: Tensor | None) -> Tensor:
        smoothing = 0.0 if targets.is_floating_point() else self.recipe.label_smoothing  # Mixup has smoothed them
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        if soft is None:
            return loss
        return torch.lerp(loss, F.cross_entropy(logits, soft), self.recipe.teacher_weight)


class SupernetObjective(ModelObjective):
    """A random subnet a step, or a sandwich of four.

    Args:
        supernet: trained.
        recipe: label smoothing, sandwich, weight of the teacher.
        depths: how often each depth is drawn, see ``SearchSpace.sample_codes``; None: all equally often.
        teacher: from images to logits, on the same device; not trained.
    """

    trained: Supernet

    def __init__(
        self,
        supernet: Supernet,
        recipe: Recipe,
        *,
        depths: Sequence[float] | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__(supernet, recipe, teacher=teacher)
        self._depths = depths

    def codes(self, seed: int, step: int) -> tuple[Code, ...]:
        """See ``ModelObjective``."""
        space = self.trained.space
        sandwich = self.recipe.sandwich
        count = _RANDOM_OF_A_SANDWICH if sandwich else 1
        drawn = space.sample_codes(count, np.random.default_rng([seed, 1, step]), self._depths)
        rows = [space.encode(space.largest), *drawn, space.encode(space.smallest)] if sandwich else drawn
        return tuple(tuple(row.tolist()) for row in rows)

    def compile_parts(self) -> None:
        """Block by block. Each new combination of widths is compiled once, up to torch's limit of recompilations, and
        runs as it is beyond that: worth it in spaces of few widths only.
        """
        for block in self.trained.blocks:
            block.compile(dynamic=True)

    def forward(self, images: Tensor, targets: Tensor, codes: Sequence[Code]) -> Tensor:
        """The mean loss over the subnets."""
        space, soft = self.trained.space, self._soft(images)
        losses: list[Tensor] = []
        largest = None
        for code in codes:
            logits = self.trained(images, space.decode(code), layers=space.layers(code))
            if largest is None:
                losses.append(self._loss(logits, targets, soft))
                largest = logits.detach().softmax(-1) if self.recipe.sandwich else None
            else:
                losses.append(F.cross_entropy(logits, largest))
        return torch.stack(losses).mean()
