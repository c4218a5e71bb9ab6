"""What trainings and evaluations compute in: autocast, and deterministic algorithms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

AMPERE = (8, 0)  # compute capability of the first GPUs with bf16 matrix units
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def autocast_dtype(autocast: str | None, device: torch.device | str) -> torch.dtype | None:
    """What matrix products run in; None is fp32.

    Args:
        autocast: ``bf16``, ``fp16`` or ``fp32``; None is what suits the device: bf16 on NVIDIA GPUs of compute
            capability 8.0 and above, whose fp32 is many times slower, fp32 elsewhere.
        device: torch's.
    """
    if autocast is not None:
        return _DTYPES[autocast]
    device = torch.device(device)
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < AMPERE:
        return None
    return torch.bfloat16


def autocasting(autocast: str | None, device: torch.device | str) -> AbstractContextManager[object]:
    """A forward pass in ``autocast_dtype``."""
    dtype = autocast_dtype(autocast, device)
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Have torch take algorithms that give the same bits each time, where ``wanted``; put back at the end.

    cuBLAS needs ``CUBLAS_WORKSPACE_CONFIG`` from before its first use: it is set to ``:4096:8`` unless it is set
    already. An operation that knows no such algorithm raises RuntimeError.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # typed as an empty module
    benchmark, fill = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    memory.fill_uninitialized_memory = False  # finds bugs, and costs a pass over all new memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        memory.fill_uninitialized_memory = fill
