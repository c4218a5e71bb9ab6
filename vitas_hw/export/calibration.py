"""The steps of int8 activations, from the largest values that a model's linears see on some images."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

_LARGEST_INT8 = 127
_SMALLEST = 1e-12  # an input that is always zero has a step nevertheless


@torch.inference_mode()
def activation_scales(model: nn.Module, images: Tensor) -> dict[str, float]:
    """The ``scales`` of ``onnx_graph``: a step for the input of each linear and convolution, by the module's name.

    Args:
        model: plain timm model, in evaluation mode.
        images: (N, C, H, W) preprocessed as for the model, a few hundred of the kind it will see.
    """
    largest: dict[str, float] = {}

    def look(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        largest[name] = max(largest.get(name, 0.0), inputs[0].abs().max().item())

    hooks = [
        module.register_forward_pre_hook(partial(look, name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: max(value / _LARGEST_INT8, _SMALLEST) for name, value in largest.items()}
