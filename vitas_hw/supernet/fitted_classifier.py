"""A classifier of other classes for a pretrained model, fitted in closed form to what the model sees in images."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

_RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the mean variance of a feature
_SCALES = tuple(2.0**power for power in range(9))  # of the logits


@torch.no_grad()
def features_of(model: VisionTransformer, images: Tensor) -> Tensor:
    """(B, embed_dim) what the classifier of ``model`` reads of images (B, C, H, W)."""
    found: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return found


def fitted_classifier(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight (classes, E) and bias (classes,) of a linear classifier of features (N, E) with labels (N,).

    The ridge regression to one-hot labels, its logits scaled so that their softmax means something: alone they lie
    between 0 and 1, and a teacher of such logits would call every class about as likely. How strong the ridge is and
    how large the scale are chosen by the cross entropy of each image's prediction without that image, which a ridge
    regression gives in closed form too: no image is held out, and none is known by heart.
    """
    x, y = features.double(), F.one_hot(labels, classes).double()
    centre, mean = x.mean(0), y.mean(0)
    x, y = x - centre, y - mean
    spread, axes = torch.linalg.eigh(x.T @ x)
    along, target = x @ axes, axes.T @ (x.T @ y)
    best, chosen = float("inf"), (torch.zeros_like(target), 1.0)
    for ridge in _RIDGES:
        inverse = 1 / (spread + (ridge * spread.mean()).clamp_min(1e-12))
        own_share = 1 / len(x) + (along.square() * inverse).sum(1)  # of an image in its own prediction
        weight = inverse[:, None] * target
        without = y - (y - along @ weight) / (1 - own_share).clamp_min(1e-6)[:, None] + mean
        for scale in _SCALES:
            loss = float(F.cross_entropy(scale * without, labels))
            if loss < best:
                best, chosen = loss, (weight, scale)
    weight = chosen[1] * (axes @ chosen[0]).T
    return weight.float(), (chosen[1] * mean - weight @ centre).float()
