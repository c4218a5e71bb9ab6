"""Torch's global settings and errors, as the sessions that run on torch need them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.profiling.backend import Floats


@contextmanager
def session_settings(threads: int | None = None) -> Iterator[None]:
    """The CPU threads of a session, float32 that is not TF32, no gradients; all as before afterwards."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (torch.get_num_threads(), matmul.allow_tf32, cudnn.allow_tf32)
    if threads is not None:
        torch.set_num_threads(threads)
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before[1:]
        if threads is not None:
            torch.set_num_threads(before[0])


@contextmanager
def torch_errors(what: str) -> Iterator[None]:
    """Turns torch's errors (out of memory, a kernel that fails, a compiler that gives up) into a VitasError."""
    try:
        yield
    except RuntimeError as error:  # the base of torch's own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise VitasError(f"{what}: {reason}") from error


def check_shape(images: Floats, expected: torch.Tensor) -> None:
    """Raises InputError if the images do not have the shape that the session was opened for."""
    if images.shape != tuple(expected.shape):
        raise InputError(f"The session takes images {tuple(expected.shape)}, not {images.shape}.")
