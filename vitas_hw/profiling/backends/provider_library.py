"""Why a library of ONNX Runtime's providers does not load: ONNX Runtime itself says only that nodes fell to the CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

CUDA, TENSORRT = "libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so"
_SHARED = "libonnxruntime_providers_shared.so"


def refusal(library: Path) -> str:
    """What the loader says against a library; empty if it loads, or has another name on this system.

    Libraries of CUDA that PyTorch has brought into the process count, and those of TensorRT that its import has.
    """
    if not library.is_file():
        return ""
    try:
        # of the same folder: the providers want its functions and do not name it
        ctypes.CDLL(str(library.with_name(_SHARED)), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return " ".join(str(error).split())
    return ""
