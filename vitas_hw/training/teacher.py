"""A teacher to distil from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.timm_models import download, known_model, read_weights
from vitas_hw.supernet.weights_file import load_model


def load_teacher(source: str, space: SearchSpace | Subnet) -> nn.Module:
    """A module from the space's images to logits, in evaluation mode; not trained.

    Args:
        source: a name timm knows (its pretrained weights are downloaded), ``NAME:FILE`` (that model's weights from a
            file), or the ``.safetensors`` file of a searched subnet.
        space: it, or a subnet, gives image size, channels and classes.

    Raises:
        InputError: an unknown name, weights that cannot be had, or a model for other images or classes.
        FileError: a file that is missing or broken, or holds another model's weights.
        VitasError: the download failed.
    """
    teacher = _model(source, space)
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


def _model(source: str, space: SearchSpace | Subnet) -> nn.Module:
    name, colon, file = source.partition(":")
    if source.endswith(".safetensors") and not colon:
        model: nn.Module = load_model(Path(source))[0]
        return model
    if not known_model(name):
        raise InputError(
            f"The teacher {source} is neither a model that timm knows, nor NAME:FILE, nor a searched subnet's file.",
            "For example `teacher=regnety_160`.",
            field="teacher",
        )
    import timm

    if file:
        weights = read_weights(Path(file))
        model = timm.create_model(name, num_classes=space.num_classes, in_chans=space.in_chans)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            last = str(error).splitlines()[-1].strip()
            raise FileError(f"{file} holds no weights of {name} for {space.num_classes} classes: {last}") from error
        return model
    return download(name, "teacher")


def on_device(teacher: nn.Module | None, device: str) -> nn.Module | None:
    """The teacher, if any, ready to teach there."""
    return None if teacher is None else teacher.to(device).eval()
