"""What a runtime has to offer to be measured, and where each runtime's code lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import VitasError, one_of
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target

Floats = npt.NDArray[np.float32]
INPUTS = 4  # images in rotation, so that no cache of an input is measured


class Session:
    """A model loaded on a device, with its inputs there: two functions, which alone hold what is on the device.

    Args:
        samples_ms, logits: what the methods of these names do.
        guard: entered around each call: the runtime's settings, its errors as VitasError.
        precision: what really runs, one of ``PRECISIONS``.
        peak_bytes: most of the device's memory used until now; None where the runtime does not tell.
        freed: called when both functions have been let go.
    """

    def __init__(
        self,
        samples_ms: Callable[[int], list[float]],
        logits: Callable[[Floats], Floats],
        guard: Callable[[], AbstractContextManager[None]],
        precision: str,
        *,
        peak_bytes: int | None = None,
        freed: Callable[[], None] = lambda: None,
    ) -> None:
        self.precision, self.peak_bytes = precision, peak_bytes
        self._work: tuple[Callable[[int], list[float]], Callable[[Floats], Floats]] | None = samples_ms, logits
        self._guard, self._freed = guard, freed

    def samples_ms(self, count: int) -> list[float]:
        """Latencies in milliseconds of ``count`` inferences in a row, in order, on ``INPUTS`` images in turn.

        By the device's own clock where it has one, else by the host's around an inference that is finished when the
        clock stops. Transfers of images and logits between host and device are not in it. Raises VitasError if the
        runtime fails.
        """
        samples_ms, _ = self._opened()
        with self._guard():
            return samples_ms(count)

    def logits(self, images: Floats) -> Floats:
        """(B, num_classes) float32 of images (B, in_chans, height, width), B the target's batch size."""
        _, logits = self._opened()
        with self._guard():
            return logits(images)

    def close(self) -> None:
        """Free the device's memory."""
        self._work = None
        self._freed()

    def _opened(self) -> tuple[Callable[[int], list[float]], Callable[[Floats], Floats]]:
        if self._work is None:
            raise VitasError("The session is closed.")
        return self._work


class Backend(Protocol):
    """A runtime on a device: opens sessions for subnets of one target."""

    target: Target
    version: str  # of the runtime

    def open(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> Session:
        """A session of ``subnet``.

        Args:
            subnet: of any image size, channels and classes.
            weights: timm's state dict; None draws them from the subnet's digest.

        Raises:
            VitasError: the runtime refuses it.
        """
        ...


@runtime_checkable
class KeepsWork(Protocol):
    """A backend whose sessions are slow to build."""

    def keep_in(self, folder: Path) -> None:
        """Keep what is built in a folder, made when needed, and look there first."""
        ...


@dataclass(frozen=True)
class BackendInfo:
    """What this machine can do with a backend.

    Args:
        name: one of ``BACKENDS``.
        version: of the runtime; None if it is not installed.
        devices: what can be measured on, with the hardware's own name: ``{"cuda:0": "NVIDIA H200"}``.
        precisions: those that may be asked for.
        missing: why it cannot be used, in half a sentence; empty if it can.
        gpu_missing: why it cannot use the NVIDIA GPUs that are here, while it can be used otherwise.
        install: the one line that closes the gap; empty if there is none.
    """

    name: str
    version: str | None
    devices: Mapping[str, str] = field(default_factory=dict)
    precisions: tuple[str, ...] = ()
    missing: str = ""
    install: str = ""
    gpu_missing: str = ""

    def check(self, device: str) -> None:
        """Raises VitasError if it cannot be used there for want of something; says the line that brings it."""
        if self.missing:
            raise VitasError(f"The backend {self.name} cannot be used: {self.missing}.", self.install, field="backend")
        if self.gpu_missing and device.startswith("cuda"):
            raise VitasError(
                f"The backend {self.name} cannot use the GPU: {self.gpu_missing}.", self.install, field="backend"
            )


# One file for each runtime; a runtime's variants are backends of their own, because their latencies differ.
_CLASSES = {
    "torch": ("torch_backend", "TorchBackend"),  # CUDA: graph replays; elsewhere eager
    "torch-eager": ("torch_backend", "TorchBackend"),
    "torch-compile": ("torch_backend", "TorchBackend"),
    "onnxruntime": ("onnxruntime_backend", "OnnxRuntimeBackend"),
    "onnxruntime-trt": ("onnxruntime_backend", "TensorRTProviderBackend"),
    "openvino": ("openvino_backend", "OpenVinoBackend"),
    "tensorrt": ("tensorrt_backend", "TensorRTBackend"),
    "tensorrt-rtx": ("tensorrt_backend", "TensorRTBackend"),
}


def backend_info(name: str) -> BackendInfo:
    """What this machine can do with one backend. Imports its runtime; never raises for a runtime that is missing."""
    found: BackendInfo = _module(name).info(name)
    return found


def open_backend(target: Target, device: str) -> Backend:
    """The backend of ``target`` on ``device`` (``cpu``, ``cuda:0``, ``gpu``, ``mps``).

    Raises:
        VitasError: the runtime, device or precision is not there; says the line that helps.
    """
    found = backend_info(target.backend)
    found.check(device)
    if device not in found.devices:
        raise one_of(device, found.devices, f"device of {target.backend}")
    if target.precision not in found.precisions:
        raise one_of(target.precision, found.precisions, f"precision of {target.backend}")
    opened: Backend = getattr(_module(target.backend), _CLASSES[target.backend][1])(target, device)
    return opened


def _module(name: str) -> Any:
    if name not in _CLASSES:
        raise one_of(name, _CLASSES, "backend")
    return import_module(f"vitas_hw.profiling.backends.{_CLASSES[name][0]}")
