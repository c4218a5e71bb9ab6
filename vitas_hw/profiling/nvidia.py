"""What an NVIDIA GPU is doing, from ``nvidia-smi``, which comes with every driver."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

_TIMEOUT_S = 10.0  # a wedged driver hangs
_FIELDS = (
    "clocks.current.sm",
    "clocks.max.sm",
    "clocks.current.memory",
    "temperature.gpu",
    "power.draw",
    "enforced.power.limit",
    "utilization.gpu",
)
_REASON_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # new drivers, old drivers
# bits of NVML's nvmlClocksEventReasons; idle (0x1) and clocks set by somebody (0x2, 0x100) slow nothing down unasked
_THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
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
    """The GPU that CUDA calls ``index``; None without ``nvidia-smi`` or such a GPU.

    ``others`` are the processes that can be seen and are not ours. The driver may name ours by numbers of another
    container: what it names and nobody sees is not held to be somebody else.
    """
    chosen = smi_id(index, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if chosen is None:
        return None
    for reasons in _REASON_FIELDS:
        told = _smi(chosen, f"--query-gpu={','.join((*_FIELDS, reasons))}")
        if told is not None:
            return parse_gpu(told, _smi(chosen, "--query-compute-apps=pid"), others)
    return None


def parse_gpu(line: str, apps: str | None, others: Collection[int] | None) -> Gpu | None:
    """From ``nvidia-smi``'s line about a GPU and the process ids that it lists there; None if it is another line."""
    parts = [part.strip() for part in line.strip().split(",")]
    if len(parts) != len(_FIELDS) + 1:
        return None
    sm, sm_max, memory, temperature, power, limit, busy = map(_number, parts[:-1])
    return Gpu(
        sm_mhz=sm,
        sm_max_mhz=sm_max,
        memory_mhz=memory,
        temperature_c=temperature,
        power_w=power,
        power_limit_w=limit,
        busy=None if busy is None else busy / 100,
        throttling=_throttling(parts[-1]),
        other_processes=None if apps is None or others is None else len(_pids(apps) & set(others)),
    )


def smi_id(index: int, visible: str | None) -> str | None:
    """What ``nvidia-smi -i`` calls CUDA's device ``index``, as CUDA_VISIBLE_DEVICES renumbers; None if it hides it."""
    if visible is None:
        return str(index)
    names = [name.strip() for name in visible.split(",")]
    return names[index] or None if index < len(names) else None


def _smi(gpu: str, query: str) -> str | None:
    try:
        found = subprocess.run(
            ["nvidia-smi", "-i", gpu, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout if found.returncode == 0 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A], [Not Supported], [Unknown Error]
        return None


def _throttling(text: str) -> tuple[str, ...] | None:
    try:
        bits = int(text, 16)
    except ValueError:
        return None
    return tuple(name for bit, name in _THROTTLE_REASONS.items() if bits & bit)


def _pids(apps: str) -> set[int]:
    return {int(line) for line in apps.split() if line.isdigit()}
