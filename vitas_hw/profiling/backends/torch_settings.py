"""Torch's global settings and errors, as the sessions that run on torch need them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.profiling.backend import Floats


@contextmanager
def session_settings(threads: int | None = None) -> Iterator[None]:
    """The CPU threads of a session, float32 that is float32, no gradients; all as before afterwards."""
    threads_before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with _full_float32(), torch.inference_mode():
            yield
    finally:
        if threads is not None:
            torch.set_num_threads(threads_before)


@contextmanager
def _full_float32() -> Iterator[None]:
    """No TF32 on a GPU and no bfloat16 on a CPU in place of float32.

    Torch since 2.9 has a switch for every library and operation, and refuses to read the older, common ones while
    both disagree: so both are set, and an older one only where it can be read and put back.
    """
    older, newer = _older_switches(), _newer_switches()
    before = [owner.fp32_precision for owner in newer]
    for put, _, full in older:
        put(full)
    for owner in newer:
        owner.fp32_precision = "ieee"
    try:
        yield
    finally:
        for put, value, _ in older:
            put(value)
        for owner, value in zip(newer, before, strict=True):
            owner.fp32_precision = value


def _older_switches() -> list[tuple[Callable[[Any], None], Any, Any]]:
    """Setter, present value and the value for full float32, of those that can be read."""

    def put_cudnn(allowed: bool) -> None:
        torch.backends.cudnn.allow_tf32 = allowed

    found: list[tuple[Callable[[Any], None], Any, Any]] = []
    with suppress(RuntimeError):  # somebody has used the newer switches
        found.append((torch.set_float32_matmul_precision, torch.get_float32_matmul_precision(), "highest"))
    with suppress(RuntimeError):
        found.append((put_cudnn, torch.backends.cudnn.allow_tf32, False))
    return found


def _newer_switches() -> list[Any]:
    libraries: Any = torch.backends
    if not hasattr(libraries.cuda.matmul, "fp32_precision"):
        return []
    cudnn, mkldnn = libraries.cudnn, libraries.mkldnn
    return [libraries.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv]


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
