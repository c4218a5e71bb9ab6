"""The training loop, for supernets and plain models alike; and top-1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.augmentation import Augmentation
from vitas_hw.training.parts import Split, TrainPart
from vitas_hw.training.recipe import Recipe

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Epoch:
    """What an epoch left behind: its number from 1, mean training loss, seconds are not kept (they do not repeat)."""

    epoch: int
    loss: float


def train_supernet(
    supernet: Supernet,
    split: TrainPart,
    recipe: Recipe,
    *,
    p_identity: float,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train the shared weights: each step one random subnet, identity drawn with ``p_identity`` (ViTAS section 3.4).

    Args:
        supernet: trained in place; left in evaluation mode.
        split: the images.
        recipe: how.
        p_identity: probability that an optional block is the identity.
        seed: of subnets, order and augmentation.
        on_epoch: called after each epoch.

    Raises:
        VitasError: the loss is not finite.
    """
    rng = np.random.default_rng([seed, 1])

    def forward(images: Tensor) -> Tensor:
        logits: Tensor = supernet(images, supernet.space.sample(rng, p_identity=p_identity))
        return logits

    return _train(supernet, forward, split, recipe, seed, on_epoch)


def train_model(
    model: VisionTransformer,
    split: TrainPart,
    recipe: Recipe,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Train a plain model in place, see ``train_supernet``."""
    return _train(model, model, split, recipe, seed, on_epoch)


def _train(
    module: nn.Module,
    forward: Forward,
    split: TrainPart,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[Epoch], None],
) -> list[Epoch]:
    steps = split.steps(recipe.batch_size)
    augmentation = Augmentation(
        max_shift=recipe.max_shift, max_rotation=recipe.max_rotation, max_scale=recipe.max_scale
    )
    optimizer = create_optimizer_v2(module, opt="adamw", lr=recipe.lr, weight_decay=recipe.weight_decay)
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * steps,
        warmup_t=recipe.warmup_epochs * steps,
        warmup_lr_init=recipe.lr / 100,
        warmup_prefix=False,
        t_in_epochs=False,
    )
    history = []
    module.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        batches = split.batches(epoch=epoch, seed=seed, batch_size=recipe.batch_size, augmentation=augmentation)
        for step, (images, labels) in enumerate(batches):
            schedule.step_update(epoch * steps + step)
            loss = F.cross_entropy(forward(images), labels, label_smoothing=recipe.label_smoothing)
            if not torch.isfinite(loss):
                raise VitasError(
                    f"The training loss became {loss.item()} in epoch {epoch + 1}.", "Try a lower learning rate."
                )
            optimizer.zero_grad(set_to_none=True)  # whole layers that the subnet does not use are left alone
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_grad)
            optimizer.step()
            total += loss.item() * len(labels)
        history.append(Epoch(epoch + 1, total / len(split)))
        on_epoch(history[-1])
    module.eval()
    return history


def augment(images: Tensor, recipe: Recipe, draws: torch.Generator) -> Tensor:
    """A random affine map for each of B images (B, C, H, W); what comes in from outside repeats the border.

    All images of the batch in one call: torchvision's ``RandomAffine`` draws one map for a whole batch.
    """
    if not (recipe.max_shift or recipe.max_rotation or recipe.max_scale):
        return images
    uniform = torch.rand(4, len(images), generator=draws) * 2 - 1
    angle = uniform[0] * math.radians(recipe.max_rotation)
    scale = 1 + uniform[1] * recipe.max_scale
    shift = uniform[2:] * 2 * recipe.max_shift  # the grid runs from -1 to 1
    cos, sin = angle.cos() * scale, angle.sin() * scale
    maps = torch.stack([torch.stack([cos, -sin, shift[0]], 1), torch.stack([sin, cos, shift[1]], 1)], 1)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.inference_mode()
def top1(forward: Forward, split: Split, batch_size: int = 128) -> float:
    """Share of the split's images that ``forward`` (B, C, H, W) -> (B, classes) classifies correctly."""
    hits = [int((forward(images).argmax(1) == labels).sum()) for images, labels in split.batches(batch_size)]
    return sum(hits) / len(split)


def subnet_top1(supernet: Supernet, subnet: Subnet, split: Split) -> float:
    """Top-1 of a subnet with the supernet's weights."""
    return top1(lambda images: supernet(images, subnet), split)
