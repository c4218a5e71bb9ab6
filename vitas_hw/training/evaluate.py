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
from vitas_hw.training.precision import autocasting

Forward = Callable[[Tensor], Tensor]
AT_ONCE = 128  # images


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
def accuracy(forward: Forward, split: Split, batch_size: int = AT_ONCE, autocast: str | None = None) -> Accuracy:
    """Accuracy and losses of ``forward`` (B, C, H, W) -> (B, classes) on a split.

    Args:
        forward: on the split's device.
        split: the images.
        batch_size: images at once.
        autocast: what it runs in, see ``autocast_dtype``: unless given what a training there runs in.
    """
    right = torch.zeros(2, dtype=torch.int64, device=split.labels.device)  # read once: a GPU need not wait each batch
    losses = []
    for images, labels in split.batches(batch_size):
        with autocasting(autocast, labels.device):
            logits = forward(images)
        best, five = logits.argmax(1), logits.topk(min(5, logits.shape[1]), dim=1).indices
        right += torch.stack([(best == labels).sum(), (five == labels[:, None]).sum()])
        losses.append(F.cross_entropy(logits.float(), labels, reduction="none"))
    first, within = right.tolist()
    return Accuracy(first / len(split), within / len(split), torch.cat(losses).cpu().numpy())


def subnet_accuracy(
    supernet: Supernet,
    subnet: Subnet,
    split: Split,
    layers: Sequence[int] | None = None,
    *,
    autocast: str | None = None,
) -> Accuracy:
    """Accuracy of a subnet with the supernet's weights; of a bilateral one by the sum of both sides' logits, which is
    what its training minimises the loss of (BCNet, section 3.2).

    Args:
        supernet: of the subnet's space, on the split's device.
        subnet: which.
        split: the images.
        layers: see ``Supernet.forward``.
        autocast: see ``accuracy``.
    """
    return accuracy(lambda images: supernet(images, subnet, layers=layers), split, autocast=autocast)
