"""Accuracy of models, and of subnets with the supernet's weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitas_hw.core.subnet import Subnet
from vitas_hw.data.splits import Split
from vitas_hw.supernet.supernet import Supernet

Forward = Callable[[Tensor], Tensor]
_BATCH = 128


@dataclass(frozen=True)
class Accuracy:
    """Shares of images whose label has the largest logit, or one of the five largest."""

    top1: float
    top5: float


@torch.no_grad()  # not inference_mode: what layers cache on the way must serve training, too
def accuracy(forward: Forward, split: Split, batch_size: int = _BATCH) -> Accuracy:
    """Accuracy of ``forward`` (B, C, H, W) -> (B, classes) on a split, wherever the split lies."""
    first = within = 0
    for images, labels in split.batches(batch_size):
        logits = forward(images)
        first += int((logits.argmax(1) == labels).sum())
        within += int((logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]).sum())
    return Accuracy(first / len(split), within / len(split))


def subnet_accuracy(supernet: Supernet, subnet: Subnet, split: Split, layers: Sequence[int] | None = None) -> Accuracy:
    """Accuracy of a subnet with the supernet's weights; of a bilateral one the mean of both sides (BCNet).

    Args:
        supernet: of the subnet's space, on the split's device.
        subnet: which.
        split: the images.
        layers: see ``Supernet.forward``.
    """
    found = [
        accuracy(lambda images, side=side: supernet(images, subnet, side or None, layers), split)  # type: ignore[misc]
        for side in supernet.sides
    ]
    return Accuracy(sum(one.top1 for one in found) / len(found), sum(one.top5 for one in found) / len(found))
