"""A teacher to distil from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.checkpoint import load_model


def load_teacher(source: str, space: SearchSpace) -> nn.Module:
    """A module from the space's images to logits, in evaluation mode; not trained.

    Args:
        source: a name timm knows (its pretrained weights are downloaded), ``NAME:FILE`` (that model's weights from a
            file), or the ``.safetensors`` file of a searched subnet.
        space: gives image size, channels and classes.

    Raises:
        InputError: an unknown name, weights that cannot be had, or a model for other images or classes.
        FileError: a file that is missing or broken.
    """
    if source.endswith(".safetensors") and ":" not in source:
        teacher: nn.Module = load_model(Path(source))[0]
    else:
        from vitas_hw.supernet.pretrained import timm_model

        teacher = timm_model(source)
    teacher.eval().requires_grad_(False)
    images = torch.zeros(1, space.in_chans, *space.image_size)
    wanted = (
        f"images of {space.in_chans} x {space.image_size[0]} x {space.image_size[1]} in {space.num_classes} classes"
    )
    try:
        with torch.no_grad():
            logits = teacher(images)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The teacher {source} does not take the space's images ({wanted}).") from error
    if tuple(logits.shape) != (1, space.num_classes):
        raise InputError(f"The teacher {source} gives outputs {tuple(logits.shape)[1:]}; the space needs {wanted}.")
    return teacher
