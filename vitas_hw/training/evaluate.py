"""Accuracy of models, and of subnets with the supernet's weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitas_hw.core.subnet import Subnet
from vitas_hw.data.splits import Split
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.precision import autocasting

Forward = Callable[[Tensor], Tensor]
_BATCH = 128


@dataclass(frozen=True)
class Accuracy:
    """Shares of images whose label has the largest logit, or one of the five largest."""

    top1: float
    top5: float


@torch.no_grad()  # not inference_mode: what layers cache on the way must serve training, too
def accuracy(forward: Forward, split: Split, batch_size: int = _BATCH, autocast: str | None = None) -> Accuracy:
    """Accuracy of ``forward`` (B, C, H, W) -> (B, classes) on a split.

    Args:
        forward: on the split's device.
        split: the images.
        batch_size: images at once.
        autocast: what it runs in, see ``autocast_dtype``: unless given what a training there runs in.
    """
    right = torch.zeros(2, dtype=torch.int64, device=split.labels.device)  # read once: a GPU need not wait each batch
    for images, labels in split.batches(batch_size):
        with autocasting(autocast, labels.device):
            logits = forward(images)
        best, five = logits.argmax(1), logits.topk(min(5, logits.shape[1]), dim=1).indices
        right += torch.stack([(best == labels).sum(), (five == labels[:, None]).sum()])
    first, within = right.tolist()
    return Accuracy(first / len(split), within / len(split))


def subnet_accuracy(
    supernet: Supernet,
    subnet: Subnet,
    split: Split,
    layers: Sequence[int] | None = None,
    *,
    autocast: str | None = None,
) -> Accuracy:
    """Accuracy of a subnet with the supernet's weights; of a bilateral one the mean of both sides (BCNet).

    Args:
        supernet: of the subnet's space, on the split's device.
        subnet: which.
        split: the images.
        layers: see ``Supernet.forward``.
        autocast: see ``accuracy``.
    """

    def on(side: str) -> Accuracy:
        return accuracy(lambda images: supernet(images, subnet, side or None, layers), split, autocast=autocast)

    found = [on(side) for side in supernet.sides]
    return Accuracy(sum(one.top1 for one in found) / len(found), sum(one.top5 for one in found) / len(found))
