"""How long and how hard to train: plain data, checked when made."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with a cosine schedule, as the paper's (ViTAS section 4.1).

    Args:
        epochs: passes over the training images.
        batch_size: images a step.
        lr: peak learning rate.
        warmup_epochs: linear rise from lr / 100.
        weight_decay: on matrices only.
        label_smoothing: share of the target spread over all classes.
        max_shift, max_rotation, max_scale: random affine augmentation: shift as a share of the image, rotation in
            degrees, scale as a share of 1; all 0 is none.
        clip_grad: largest norm of the gradient.
    """

    epochs: int
    batch_size: int
    lr: float
    warmup_epochs: int
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    max_shift: float = 0.0
    max_rotation: float = 0.0
    max_scale: float = 0.0
    clip_grad: float = 1.0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"--epochs must be at least 1, not {self.epochs}.")
        if self.batch_size < 1 or not 0 <= self.warmup_epochs < self.epochs:
            raise InputError(f"A recipe needs a batch size >= 1 and fewer warm-up epochs than epochs; given: {self}.")
        if not (self.lr > 0 and self.weight_decay >= 0 and 0 <= self.label_smoothing < 1 and self.clip_grad > 0):
            raise InputError(f"A recipe's learning rate, weight decay, smoothing or clipping is impossible: {self}.")


def digits_supernet(epochs: int = 70) -> Recipe:
    """The digits' supernet: minutes on two CPU cores.

    Without augmentation: in so few epochs the shared weights underfit (mean inherited top-1 of 20 small subnets after
    25 epochs: 0.86 without, 0.82 with).
    """
    return Recipe(epochs=epochs, batch_size=64, lr=1e-3, warmup_epochs=min(5, epochs - 1))


_FINETUNE_MACS = 1.5e12  # forward and backward, about 25 s on two CPU cores
_FINETUNE_EPOCHS = (4, 20)


def digits_finetune(macs: int, images: int) -> Recipe:
    """A subnet of the digits' supernet, from the supernet's weights: about the same work whatever its size.

    Args:
        macs: of the subnet.
        images: to train on.
    """
    fewest, most = _FINETUNE_EPOCHS
    epochs = min(max(round(_FINETUNE_MACS / (3 * macs * images)), fewest), most)  # backward costs twice the forward
    return Recipe(
        epochs=epochs,
        batch_size=128,
        lr=2e-3,
        warmup_epochs=2,
        max_shift=0.08,
        max_rotation=8.0,
        max_scale=0.08,
    )
