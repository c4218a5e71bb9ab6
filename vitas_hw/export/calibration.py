"""The steps of int8 activations, from the largest values that a model's linears see on some images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

_LARGEST_INT8 = 127
_SMALLEST = 1e-12  # an input that is always zero has a step nevertheless


@torch.inference_mode()
def activation_scales(model: nn.Module, images: Tensor) -> dict[str, float]:
    """The ``scales`` of ``onnx_graph``: a step for the input of each linear and convolution, by the module's name.

    Args:
        model: plain timm model, in evaluation mode.
        images: (N, C, H, W) preprocessed as for the model, a few hundred of the kind it will see.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    largest = dict.fromkeys(names.values(), 0.0)

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if module in names:
            largest[names[module]] = max(largest[names[module]], inputs[0].abs().max().item())

    with register_module_forward_pre_hook(look):
        model(images)
    return {name: max(value / _LARGEST_INT8, _SMALLEST) for name, value in largest.items()}
