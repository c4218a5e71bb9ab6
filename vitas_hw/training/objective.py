"""What a training step minimises: modules from images and targets to a loss, so that DDP can wrap them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.recipe import Recipe

Code = tuple[int, ...]
_RANDOM_OF_A_SANDWICH = 2


class Objective(Protocol):
    """A module ``(images (B, C, H, W), targets, codes) -> loss``; targets are labels (B,) or shares (B, classes)."""

    @property
    def trained(self) -> nn.Module:
        """Whose weights are trained."""
        ...

    def codes(self, seed: int, step: int) -> tuple[Code, ...]:
        """The subnets of an optimizer step: the same in every process, and again after a restart."""
        ...

    def compile_parts(self) -> None:
        """Have ``torch.compile`` compile, on first use, what is worth it."""
        ...

    def __call__(self, images: Tensor, targets: Tensor, codes: Sequence[Code]) -> Tensor: ...


class _Criterion:
    """Cross entropy with the labels, and with a teacher's logits if there is a teacher."""

    def __init__(self, recipe: Recipe, teacher: nn.Module | None) -> None:
        self.recipe, self.teacher = recipe, teacher

    def soft(self, images: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        with torch.no_grad():
            shares: Tensor = self.teacher(images).softmax(-1)
        return shares

    def __call__(self, logits: Tensor, targets: Tensor, soft: Tensor | None) -> Tensor:
        smoothing = 0.0 if targets.is_floating_point() else self.recipe.label_smoothing  # Mixup has smoothed them
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        if soft is None:
            return loss
        return torch.lerp(loss, F.cross_entropy(logits, soft), self.recipe.teacher_weight)


class SupernetObjective(nn.Module):
    """A random subnet a step, identity drawn with ``p_identity`` (ViTAS section 3.4), or a sandwich of four.

    Args:
        supernet: trained.
        recipe: label smoothing, sandwich, weight of the teacher.
        p_identity: probability that an optional block is the identity.
        teacher: from images to logits, on the same device; not trained.
    """

    def __init__(
        self, supernet: Supernet, recipe: Recipe, *, p_identity: float, teacher: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.trained = supernet
        self._criterion = _Criterion(recipe, teacher)  # no module: the teacher is not this module's to train
        self._sandwich, self._p = recipe.sandwich, p_identity

    def codes(self, seed: int, step: int) -> tuple[Code, ...]:
        """See ``Objective``."""
        space = self.trained.space
        drawn = space.sample_codes(
            _RANDOM_OF_A_SANDWICH if self._sandwich else 1, np.random.default_rng([seed, 1, step]), self._p
        )
        rows = [space.encode(space.largest), *drawn, space.encode(space.smallest)] if self._sandwich else list(drawn)
        return tuple(tuple(row.tolist()) for row in rows)

    def compile_parts(self) -> None:
        """See ``Objective``: block by block. Each new combination of widths is compiled once, up to torch's limit of
        recompilations, and runs as it is beyond that: worth it in spaces of few widths only.
        """
        for block in self.trained.blocks:
            block.compile(dynamic=True)

    def forward(self, images: Tensor, targets: Tensor, codes: Sequence[Code]) -> Tensor:
        """The mean loss over the subnets."""
        space, soft = self.trained.space, self._criterion.soft(images)
        losses: list[Tensor] = []
        largest = None
        for code in codes:
            logits = self.trained(images, space.decode(code), layers=space.layers(code))
            if largest is None:
                losses.append(self._criterion(logits, targets, soft))
                largest = logits.detach().softmax(-1) if self._sandwich else None
            else:
                losses.append(F.cross_entropy(logits, largest))
        return torch.stack(losses).mean()


class ModelObjective(nn.Module):
    """A plain model.

    Args:
        model: trained.
        recipe: label smoothing, weight of the teacher.
        teacher: from images to logits, on the same device; not trained.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, *, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self.trained = model
        self._criterion = _Criterion(recipe, teacher)

    def codes(self, seed: int, step: int) -> tuple[Code, ...]:  # noqa: ARG002
        """See ``Objective``; there is nothing to draw."""
        return ()

    def compile_parts(self) -> None:
        """See ``Objective``."""
        self.trained.compile()

    def forward(self, images: Tensor, targets: Tensor, codes: Any) -> Tensor:  # noqa: ARG002
        """The loss."""
        return self._criterion(self.trained(images), targets, self._criterion.soft(images))
