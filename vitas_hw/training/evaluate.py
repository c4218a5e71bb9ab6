"""Accuracy of models, and of subnets with the supernet's weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vitas_hw.core.subnet import Subnet
from vitas_hw.data.splits import Split
from vitas_hw.supernet.supernet import Supernet

Forward = Callable[[Tensor], Tensor]
_BATCH = 128


@dataclass(frozen=True)
class Accuracy:
    """How well a model does on N images.

    Args:
        top1, top5: shares of images whose label has the largest logit, or one of the five largest.
        losses: (N,) cross-entropy of each image in nats.
    """

    top1: float
    top5: float
    losses: npt.NDArray[np.float32] = field(compare=False, repr=False)

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self.losses.mean(dtype=np.float64))


@torch.no_grad()  # not inference_mode: what layers cache on the way must serve training, too
def accuracy(forward: Forward, split: Split, batch_size: int = _BATCH) -> Accuracy:
    """Accuracy and losses of ``forward`` (B, C, H, W) -> (B, classes) on a split, wherever the split lies."""
    first = within = 0
    losses = []
    for images, labels in split.batches(batch_size):
        logits = forward(images)
        first += int((logits.argmax(1) == labels).sum())
        within += int((logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]).sum())
        losses.append(F.cross_entropy(logits.float(), labels, reduction="none"))
    return Accuracy(first / len(split), within / len(split), torch.cat(losses).cpu().numpy())


def subnet_accuracy(supernet: Supernet, subnet: Subnet, split: Split, layers: Sequence[int] | None = None) -> Accuracy:
    """Accuracy of a subnet with the supernet's weights; of a bilateral one by the sum of both sides' logits, which is
    what its training minimises the loss of (BCNet, section 3.2).

    Args:
        supernet: of the subnet's space, on the split's device.
        subnet: which.
        split: the images.
        layers: see ``Supernet.forward``.
    """
    return accuracy(lambda images: supernet(images, subnet, layers=layers), split)
