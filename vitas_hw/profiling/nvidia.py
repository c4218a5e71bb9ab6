"""What an NVIDIA GPU is doing, as the driver's own library (NVML) tells it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

# idle clocks and clocks set by somebody slow nothing down unasked
_THROTTLE_REASONS = {
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync boost",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hardware thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
}


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU at a moment; None is what it does not tell.

    Args:
        sm_mhz, sm_max_mhz, memory_mhz: clocks.
        temperature_c: of the chip.
        power_w, power_limit_w: drawn, and allowed.
        busy: share of the last moment (up to a second) in which any kernel ran, ours too.
        throttling: why it runs slower than it could; empty if it does not.
        other_processes: how many that we can see and that are not ours have work on it; graphics alone does not count.
    """

    sm_mhz: float | None
    sm_max_mhz: float | None
    memory_mhz: float | None
    temperature_c: float | None
    power_w: float | None
    power_limit_w: float | None
    busy: float | None
    throttling: tuple[str, ...] | None
    other_processes: int | None


def read_gpu(index: int, others: Collection[int] | None) -> Gpu | None:
    """The GPU that CUDA calls ``index``; None without a driver or such a GPU.

    ``others`` are the processes that can be seen and are not ours. The driver may name ours by numbers of another
    container: what it names and nobody sees is not held to be somebody else.
    """
    with _driver():
        gpu = _handle(index, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if gpu is None:
            return None
        working = _told(lambda: {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)})
        reasons = _told(pynvml.nvmlDeviceGetCurrentClocksEventReasons, gpu)
        if reasons is None:  # an old driver has another name for it
            reasons = _told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu)
        throttling = (name for bit, name in _THROTTLE_REASONS.items() if (reasons or 0) & bit)
        return Gpu(
            sm_mhz=_told(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_SM),
            sm_max_mhz=_told(pynvml.nvmlDeviceGetMaxClockInfo, gpu, pynvml.NVML_CLOCK_SM),
            memory_mhz=_told(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_MEM),
            temperature_c=_told(pynvml.nvmlDeviceGetTemperature, gpu, pynvml.NVML_TEMPERATURE_GPU),
            power_w=_told(lambda: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000),
            power_limit_w=_told(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000),
            busy=_told(lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
            throttling=None if reasons is None else tuple(throttling),
            other_processes=None if working is None or others is None else len(working & set(others)),
        )


def driver_and_gpus() -> tuple[str | None, tuple[str, ...]]:
    """The driver's version and the own names of its GPUs; (None, ()) without a driver."""
    with _driver():
        version: str | None = _told(pynvml.nvmlSystemGetDriverVersion)
        return version, tuple(str(_told(pynvml.nvmlDeviceGetName, gpu)) for gpu in _handles())


@contextmanager
def _driver() -> Iterator[None]:
    """NVML while it is needed; without a driver every question to it is answered by an error."""
    _told(pynvml.nvmlInit)
    try:
        yield
    finally:
        _told(pynvml.nvmlShutdown)


def _told(ask: Callable[..., Any], *about: Any) -> Any:
    try:
        return ask(*about)
    except pynvml.NVMLError:  # no driver, an older one, or a GPU that has no such thing
        return None


def _handles() -> list[Any]:
    found = (_told(pynvml.nvmlDeviceGetHandleByIndex, index) for index in range(_told(pynvml.nvmlDeviceGetCount) or 0))
    return [gpu for gpu in found if gpu is not None]


def _handle(index: int, visible: str | None) -> Any:
    """CUDA's device ``index``, as CUDA_VISIBLE_DEVICES renumbers (numbers, or starts of UUIDs); None if it hides it."""
    names = [str(index)] if visible is None else [name.strip() for name in visible.split(",")]
    name = names[0] if visible is None else names[index] if index < len(names) else ""
    if name.isdigit():
        return _told(pynvml.nvmlDeviceGetHandleByIndex, int(name))
    return next(
        (gpu for gpu in _handles() if name and str(_told(pynvml.nvmlDeviceGetUUID, gpu)).startswith(name)), None
    )
