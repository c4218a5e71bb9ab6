"""What matters most in a plain model: scores of its channels, heads and blocks, and the order that follows.

With images the score of a channel or head is first-order Taylor: |weight x gradient of the loss|, summed over all
weights of its group and over small batches (Molchanov et al., arXiv 1906.10771; Torch-Pruning's
``GroupTaylorImportance``, arXiv 2301.12900). The absolute value is taken in each batch, because the gradient of a
trained model is small in the mean over its own training images. A block's score is what Taylor estimates, the rise of
the loss without it: there are few enough to try each. Without images a score is the sum of squared weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.elastic import Weights
from vitas_hw.supernet.fitted_classifier import features_of, fitted_classifier
from vitas_hw.supernet.permute import Group, Order, apart, block_of, dimensions
from vitas_hw.supernet.plain import build_model

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Importance:
    """Scores, the higher the more it matters.

    Args:
        channels: of each group: (channels of the embedding or an MLP,) or (heads,).
        blocks: (depth,).
        images: that the scores are of; 0 if they are those of the weights alone.
    """

    channels: dict[Group, Tensor]
    blocks: Tensor
    images: int

    @property
    def order(self) -> Order:
        """The most important first; of equals the earlier."""
        return {group: _falling(scores) for group, scores in self.channels.items()}

    @property
    def block_order(self) -> tuple[int, ...]:
        """Every block once, those to keep longest first."""
        return tuple(_falling(self.blocks).tolist())


def importance(weights: Weights, subnet: Subnet, batches: Iterable[Batch] = ()) -> Importance:
    """Score a plain model's channels, heads and blocks.

    Args:
        weights: under timm's names, of the subnet's shapes; a classifier may lack. Without one a linear classifier is
            fitted to the class tokens of all batches, in closed form, and not scored.
        subnet: the model's shape; its ``num_classes`` are those of the labels.
        batches: images (B, in_chans, height, width), preprocessed, with labels (B,); none for scores of the weights.
    """
    kept = list(batches)
    if not kept:
        squares = {name: weight.square() for name, weight in apart(weights).items()}
        blocks = torch.zeros(subnet.depth, dtype=torch.float64)
        for name, each in squares.items():
            if (number := block_of(name)[0]) is not None:
                blocks[number] += each.sum(dtype=torch.float64)
        return Importance(_by_group(squares, subnet), blocks, 0)
    model = build_model(subnet, seed=0).eval()
    model.load_state_dict(weights, strict=False)
    own_classifier = "head.weight" in weights
    if not own_classifier:
        features = torch.cat([features_of(model, images) for images, _ in kept])
        weight, bias = fitted_classifier(features, torch.cat([labels for _, labels in kept]), subnet.num_classes)
        model.load_state_dict({"head.weight": weight, "head.bias": bias}, strict=False)
    blocks = torch.zeros(subnet.depth, dtype=torch.float64)
    parameters = {name: p for name, p in model.named_parameters() if own_classifier or not name.startswith("head.")}
    sums = {name: torch.zeros_like(weight) for name, weight in parameters.items()}
    for images, labels in kept:
        loss = F.cross_entropy(model(images), labels)
        blocks += _without_each_block(model, images, labels) - loss.item()
        for (name, weight), gradient in zip(
            parameters.items(), torch.autograd.grad(loss, [*parameters.values()]), strict=True
        ):
            sums[name] += (weight.detach() * gradient).abs()
    return Importance(_by_group(apart(sums), subnet), blocks, sum(len(labels) for _, labels in kept))


def _by_group(each: Weights, subnet: Subnet) -> dict[Group, Tensor]:
    """Sums over groups of a score of each weight; q, k and v apart."""
    channels: dict[Group, Tensor] = {}
    for name, scores in each.items():
        for dim, group, size in dimensions(name, subnet):
            first = scores.movedim(dim, 0)
            of_group = first.reshape(len(first) // size, -1).sum(1, dtype=torch.float64)
            channels[group] = channels[group] + of_group if group in channels else of_group
    return channels


@torch.no_grad()
def _without_each_block(model: VisionTransformer, images: Tensor, labels: Tensor) -> Tensor:
    """(depth,) the loss of the model without each of its blocks."""
    came_in: list[Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: came_in.append(given[0])) for block in model.blocks]
    model(images)
    for hook in hooks:
        hook.remove()
    rest = (model.blocks[index + 1 :](tokens) for index, tokens in enumerate(came_in))
    losses = [F.cross_entropy(model.forward_head(model.norm(tokens)), labels).item() for tokens in rest]
    return torch.tensor(losses, dtype=torch.float64)


def _falling(scores: Tensor) -> Tensor:
    return torch.argsort(scores, descending=True, stable=True)
