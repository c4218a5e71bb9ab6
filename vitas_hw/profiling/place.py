"""From what a user asks for (a device, a backend, a precision) to a target, and to a process that measures on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.target import BACKENDS, Target, device_slug
from vitas_hw.profiling.backend import BackendInfo, backend_info
from vitas_hw.profiling.cores import Cores
from vitas_hw.profiling.environment import cpu_model, fingerprint
from vitas_hw.profiling.nvidia import gpu_setting, gpu_uuid
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import DEFAULT_TIMEOUT_S, Worker

TARGET = "Target"  # the heading of its options
# for each kind of device, the backends to take when none is asked for, best first
_PREFERRED = {"cpu": ("onnxruntime",), "cuda": ("tensorrt", "torch"), "mps": ("torch",), "gpu": ("openvino",)}


@settings
class TargetAsked:
    """What a user asks to measure on.

    Args:
        device: ``cpu``, ``cuda:0``, ``mps``, ``gpu`` (an Intel GPU, by OpenVINO).
        backend: None takes the device's usual one.
        precision: of the weights and products: ``fp32``, ``fp16``, ``bf16``, ``int8``.
        batch_size, threads: of each inference; threads count on a CPU only.
        device_name: the device's name in files; None takes the hardware's own.
    """

    device: str = setting(default="cpu", help="cpu, cuda:0, mps, or gpu (an Intel GPU).", group=TARGET)
    backend: str | None = setting(
        default=None, help="onnxruntime, openvino, torch ... Default: by the device.", group=TARGET
    )
    precision: str = setting(default="fp32", help="fp32, fp16, bf16 or int8.", group=TARGET)
    batch_size: int = setting(default=1, help="Images per inference.", group=TARGET, at_least=1)
    threads: int = setting(default=1, help="CPU threads.", group=TARGET, at_least=1)
    device_name: str | None = setting(default=None, help="Name of the device in file names.", group=TARGET)


@dataclass(frozen=True)
class Place:
    """A target and where it is on this machine: the device in the backend's words, the accelerator's own name."""

    target: Target
    device: str
    accelerator: str | None

    @property
    def fingerprint(self) -> str:
        """Of the hardware that matters to this target."""
        return fingerprint(self.accelerator, **self.beside)

    @property
    def beside(self) -> dict[str, Any]:
        """Of an NVIDIA GPU what else its latencies depend on: the CPU that launches its work, driver, power limit."""
        if not self._on_cuda:
            return {}
        uuid = gpu_uuid(self.device)
        return {"cpu": cpu_model(), **({} if uuid is None else gpu_setting(uuid))}

    @property
    def _on_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def timing(self, usual: Timing) -> Timing:
        """How to time here."""
        return usual.on_a_gpu() if self._on_cuda else usual

    def worker(self, timing: Timing, timeout_s: float = DEFAULT_TIMEOUT_S, work: Path | None = None) -> Worker:
        """A measuring process, ``work`` as of ``Worker``; on a CPU kept on cores of its own and inside its memory."""
        on_cpu = self.device == "cpu"
        return Worker(
            self.target,
            self.device,
            self.timing(timing),
            timeout_s=timeout_s,
            cores=Cores(self.target.threads or 1) if on_cpu else None,
            memory_bytes=psutil.virtual_memory().total if on_cpu else None,
            work=work,
            gpu_uuid=gpu_uuid(self.device),
        )

    def in_fp32(self) -> Place | None:
        """The same in float32, to compare with; None if this is float32 or the backend has none."""
        if self.target.precision == "fp32" or "fp32" not in backend_info(self.target.backend).precisions:
            return None
        return replace(self, target=replace(self.target, precision="fp32"))


def find_place(asked: TargetAsked, image_size: tuple[int, int]) -> Place:
    """The target that is asked for, for images of (height, width) pixels.

    Raises:
        InputError: no such device, backend or precision here; says what there is.
        VitasError: the backend is not installed; says the line that installs it.
    """
    device = "cuda:0" if asked.device == "cuda" else asked.device
    found = _backend(device, asked.backend)
    if asked.precision not in found.precisions:
        raise InputError(
            f"{found.name} does not compute in {asked.precision} here, only in {', '.join(found.precisions)}.",
            "Try another `precision` or `backend`.",
            field="precision",
            value=asked.precision,
            allowed=", ".join(found.precisions),
        )
    hardware_name = found.devices[device]
    target = Target(
        asked.device_name or device_slug(hardware_name),
        found.name,
        asked.precision,
        asked.batch_size,
        asked.threads if device == "cpu" else None,
        image_size,
    )
    return Place(target, device, None if device == "cpu" else hardware_name)


def place_of(target: Target, wanted_fingerprint: str, found: BackendInfo | None = None) -> Place | None:
    """Where a known target is on this machine, by its hardware's fingerprint; None if it is not here.

    ``found`` is what is known of its backend here; None asks it.
    """
    found = found or backend_info(target.backend)
    for device, name in found.devices.items():
        place = Place(target, device, None if device == "cpu" else name)
        fits = (device == "cpu") == (target.threads is not None) and not found.missing
        # older profiles of a GPU know its name alone
        if fits and wanted_fingerprint in (place.fingerprint, fingerprint(place.accelerator)):
            return place
    return None


def _backend(device: str, wanted: str | None) -> BackendInfo:
    kind = device.split(":")[0].split(".")[0]
    if kind not in _PREFERRED:
        raise InputError(
            f"Unknown device {device!r}; there are cpu, cuda:0, mps and gpu (Intel's, by OpenVINO).",
            step="doctor",
            field="device",
            value=device,
        )
    if wanted is not None and wanted not in BACKENDS:
        raise one_of(wanted, BACKENDS, "backend")
    tried = [backend_info(name) for name in ([wanted] if wanted else _PREFERRED[kind])]
    for found in tried:
        if device in found.devices and not found.missing:
            return found
    found = next((one for one in tried if device in one.devices), tried[-1])
    if wanted or device in found.devices:
        found.check(device)
    there = ", ".join(found.devices) or "none"
    raise InputError(
        f"There is no device {device!r} for {found.name}; this machine has: {there}.",
        "Try `device=cpu`.",
        field="device",
        value=device,
        allowed=there,
    )
