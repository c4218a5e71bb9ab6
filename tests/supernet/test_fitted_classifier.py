"""A classifier in closed form: as good as the features allow, and as sure as it may be on images it has not seen."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vitas_hw.supernet.fitted_classifier import fitted_classifier

CLASSES = 5


def features_of(labels: Tensor, told: float, seed: int) -> Tensor:
    """(N, 24) noise, and as much of the label as ``told`` says, far from zero."""
    noise = torch.randn(len(labels), 24, generator=torch.Generator().manual_seed(seed))
    return 7 + noise + told * F.one_hot(labels, 24).float()


def unseen_loss(told: float, count: int) -> tuple[float, float]:
    """Cross entropy and top-1 of unseen images."""
    labels = torch.arange(count) % CLASSES
    weight, bias = fitted_classifier(features_of(labels, told, 0), labels, CLASSES)
    others = torch.arange(1000) % CLASSES
    logits = features_of(others, told, 1) @ weight.T + bias
    return float(F.cross_entropy(logits, others)), float((logits.argmax(1) == others).float().mean())


def test_clear_features_give_a_sure_classifier() -> None:
    loss, top1 = unseen_loss(told=6.0, count=200)
    assert top1 > 0.99
    assert loss < 0.1  # a ridge regression's own logits, between 0 and 1, would give 0.9


@pytest.mark.parametrize("count", [20, 30, 60])
def test_features_that_tell_nothing_are_not_known_by_heart(count: int) -> None:
    """With about as many images as features the fit itself is perfect: sureness must come from unseen ones."""
    loss, _ = unseen_loss(told=0.0, count=count)
    assert loss < math.log(CLASSES) + 0.25
