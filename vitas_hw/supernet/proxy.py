"""A score of a subnet that nothing was trained for (TF-TAS: "Training-free Transformer Architecture Search", 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.plain import build_model


def proxy_score(subnet: Subnet, seed: int = 0) -> float:
    """The DSS indicator, by which subnets of one space are ordered; higher is said to be better.

    The plain model with fresh weights sees one image of ones, and the sum of its outputs is differentiated. The
    attention's linear layers give their synaptic diversity, the product of the nuclear norms of weight and gradient;
    the MLP's give their synaptic saliency, the sum of weight times gradient, absolute. As in the authors' code, every
    parameter is made positive before (SynFlow's way, so that paths do not cancel).

    Args:
        subnet: the architecture.
        seed: of the weights; equal seeds give equal scores on one machine.
    """
    model = build_model(subnet, seed=seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    with torch.enable_grad():
        model(torch.ones(1, subnet.in_chans, *subnet.image_size)).sum().backward()
    diversity = [_diversity(layer) for block in model.blocks for layer in (block.attn.qkv, block.attn.proj)]
    saliency = [_saliency(layer) for block in model.blocks for layer in (block.mlp.fc1, block.mlp.fc2)]
    return sum(diversity) + sum(saliency)


def _diversity(layer: nn.Linear) -> float:
    return _nuclear_norm(layer.weight) * _nuclear_norm(_gradient(layer))


def _saliency(layer: nn.Linear) -> float:
    return float((layer.weight.detach() * _gradient(layer)).double().abs().sum())


def _nuclear_norm(matrix: Tensor) -> float:
    return float(torch.linalg.svdvals(matrix.detach()).double().sum())


def _gradient(layer: nn.Linear) -> Tensor:
    gradient = layer.weight.grad
    assert gradient is not None
    return gradient
