"""What an NVIDIA GPU is doing, as the driver's own library (NVML) tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
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


@dataclass(frozen=True)
class GpuMeanwhile:
    """What a GPU did while a session was timed, in a few looks at it; None is what it does not tell.

    Args:
        looks: how many.
        sm_mhz: its lowest and highest clock.
        temperature_c, power_w: the highest.
        throttling: why it ran slower than it could at any of them.
    """

    looks: int
    sm_mhz: tuple[float, float] | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttling: tuple[str, ...] = ()


class GpuLooks:
    """Looks at a GPU, one after the other, from a process that does not itself use it.

    Args:
        uuid: of the GPU. Without such a GPU or a driver, no look sees anything.
    """

    def __init__(self, uuid: str) -> None:
        _told(pynvml.nvmlInit)  # stays: it costs more than a look
        self._gpu = _handle(uuid)
        self._seen: list[tuple[float | None, float | None, float | None, tuple[str, ...]]] = []

    def look(self) -> None:
        """Look once."""
        if self._gpu is not None:
            clock = _told(pynvml.nvmlDeviceGetClockInfo, self._gpu, pynvml.NVML_CLOCK_SM)
            degrees = _told(pynvml.nvmlDeviceGetTemperature, self._gpu, pynvml.NVML_TEMPERATURE_GPU)
            self._seen.append((clock, degrees, _power_w(self._gpu), _throttling(self._gpu) or ()))

    def take(self) -> GpuMeanwhile | None:
        """All that was seen since the last time; None if that is nothing."""
        seen, self._seen = self._seen, []
        if not seen:
            return None
        clocks, degrees, watts, reasons = zip(*seen, strict=True)
        told = [clock for clock in clocks if clock is not None]
        return GpuMeanwhile(
            len(seen),
            (min(told), max(told)) if told else None,
            _highest(degrees),
            _highest(watts),
            tuple(dict.fromkeys(name for names in reasons for name in names)),
        )


def summary(visits: Iterable[GpuMeanwhile | None]) -> dict[str, Any] | None:
    """What a GPU did during many visits, as JSON types; None if nobody looked.

    The lowest, median and highest clock, the highest temperature and power, and for each reason to run slower than it
    could the share of the visits in which it was seen.
    """
    seen = [visit for visit in visits if visit is not None]
    if not seen:
        return None
    clocks = [visit.sm_mhz for visit in seen if visit.sm_mhz is not None]
    slowed = Counter(name for visit in seen for name in visit.throttling)
    return {
        "visits": len(seen),
        "sm_mhz": [min(low for low, _ in clocks), median(high for _, high in clocks), max(high for _, high in clocks)]
        if clocks
        else None,
        "temperature_c": _highest(visit.temperature_c for visit in seen),
        "power_w": _highest(visit.power_w for visit in seen),
        "throttling": {name: count / len(seen) for name, count in slowed.items()},
    }


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def gpu_uuid(device: str) -> str | None:
    """Of the GPU that torch calls ``device``; None without it. CUDA and the driver may number GPUs differently."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index or "0").isdigit():
        return None
    import torch  # costs seconds; whoever measures on CUDA has paid them

    number = int(index or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        return None
    return str(torch.cuda.get_device_properties(number).uuid)


def gpu_setting(uuid: str) -> dict[str, Any]:
    """What people set on which the latencies of a GPU depend: the driver's version, the power limit in watts."""
    with _driver():
        gpu = _handle(uuid)
        limit = None if gpu is None else _told(pynvml.nvmlDeviceGetPowerManagementLimit, gpu)
        found = {
            "driver": _told(pynvml.nvmlSystemGetDriverVersion),
            "power_limit_w": None if limit is None else round(limit / 1000),
        }
    return {name: value for name, value in found.items() if value is not None}


def read_gpu(uuid: str, others: Collection[int] | None) -> Gpu | None:
    """A GPU now; None without a driver or such a GPU.

    ``others`` are the processes that can be seen and are not ours. The driver may name ours by numbers of another
    container: what it names and nobody sees is not held to be somebody else.
    """
    with _driver():
        gpu = _handle(uuid)
        if gpu is None:
            return None
        working = _told(lambda: {process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)})
        return Gpu(
            sm_mhz=_told(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_SM),
            sm_max_mhz=_told(pynvml.nvmlDeviceGetMaxClockInfo, gpu, pynvml.NVML_CLOCK_SM),
            memory_mhz=_told(pynvml.nvmlDeviceGetClockInfo, gpu, pynvml.NVML_CLOCK_MEM),
            temperature_c=_told(pynvml.nvmlDeviceGetTemperature, gpu, pynvml.NVML_TEMPERATURE_GPU),
            power_w=_power_w(gpu),
            power_limit_w=_told(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000),
            busy=_told(lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
            throttling=_throttling(gpu),
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


def _handle(uuid: str) -> Any:
    """The GPU, or the part of one (MIG), of that UUID as torch writes it: without the driver's prefix."""
    found = (_told(pynvml.nvmlDeviceGetHandleByUUID, f"{prefix}-{uuid}") for prefix in ("GPU", "MIG"))
    return next((gpu for gpu in found if gpu is not None), None)


def _power_w(gpu: Any) -> float | None:
    milliwatts = _told(pynvml.nvmlDeviceGetPowerUsage, gpu)
    return None if milliwatts is None else milliwatts / 1000


def _throttling(gpu: Any) -> tuple[str, ...] | None:
    """Why it runs slower than it could; empty if it does not."""
    reasons = _told(pynvml.nvmlDeviceGetCurrentClocksEventReasons, gpu)
    if reasons is None:  # an old driver has another name for it
        reasons = _told(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu)
    return None if reasons is None else tuple(name for bit, name in _THROTTLE_REASONS.items() if reasons & bit)
