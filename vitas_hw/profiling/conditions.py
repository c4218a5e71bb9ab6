"""Is the machine fit to be measured on? What it says of itself, in numbers and in plain sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from vitas_hw.core.progress import Progress
from vitas_hw.profiling.nvidia import Gpu, gpu_uuid, read_gpu

T = TypeVar("T")
PROC, SYS = Path("/proc"), Path("/sys")  # for what psutil does not tell

_STEAL = 0.01
_OTHERS = 0.05
_LOAD_SLACK = 0.25  # background of any system
_FEWEST_S = 0.5  # of each CPU: shares of less are chance
_CPU_HOT_C, _GPU_HOT_C = 90.0, 83.0
_GPU_BUSY = 0.05


@dataclass(frozen=True)
class CpuTimes:
    """Seconds of processor time since the start, summed over all logical CPUs.

    Args:
        total: all of it.
        busy: running any process, interrupts too.
        steal: taken by the hypervisor for others.
        own: running this process and those it started.
    """

    total: float
    busy: float
    steal: float
    own: float


@dataclass(frozen=True)
class Conditions:
    """The machine at a moment. None is what the platform does not tell; shares are of all logical CPUs, from 0 to 1.

    Args:
        cpus: logical CPUs.
        load_1m: the 1-minute load average, ours included.
        governors: of the CPUs' frequency, each once.
        frequency_mhz: (lowest, highest) clock of the CPUs.
        temperature_c: of the hottest sensor.
        available_bytes: memory that can be had without swapping.
        on_battery: whether a battery drives the machine.
        steal, others, own: shares of processor time since the previous snapshot that went to the hypervisor's other
            guests, to other processes, and to this process and those it started.
        throttled_ms: how long a CPU quota stopped this container since the previous snapshot.
        throttled_total_ms, cpu_times: the counters behind these.
        gpu: the NVIDIA GPU measured on.
        gpu_busy_before: how busy it was before our own work: in the first snapshot only.
    """

    cpus: int
    load_1m: float | None
    governors: tuple[str, ...] | None
    frequency_mhz: tuple[float, float] | None
    temperature_c: float | None
    available_bytes: int | None
    on_battery: bool | None
    steal: float | None
    others: float | None
    own: float | None
    throttled_ms: float | None
    throttled_total_ms: float | None
    gpu: Gpu | None
    gpu_busy_before: float | None
    cpu_times: CpuTimes | None = None  # not in older profiles


def snapshot(device: str, previous: Conditions | None = None) -> Conditions:
    """The machine now. Never raises for what it does not tell.

    Args:
        device: measured on: ``cpu``, ``cuda:0``, ...; a ``cuda`` device is looked at too.
        previous: an earlier snapshot of this process, for the shares since then; None before any work of ours.
    """
    cpus = os.cpu_count() or 1
    times = _told(_cpu_times)
    steal, others, own = _shares(previous.cpu_times if previous else None, times, cpus)
    throttled = _throttled_ms()
    throttled_before = previous.throttled_total_ms if previous else None
    uuid = gpu_uuid(device)
    gpu = None if uuid is None else read_gpu(uuid, _told(_strangers))
    return Conditions(
        cpus=cpus,
        load_1m=_told(lambda: psutil.getloadavg()[0]),
        governors=_governors(),
        frequency_mhz=_told(_frequencies_mhz),
        temperature_c=_told(_temperature_c),
        available_bytes=_told(lambda: psutil.virtual_memory().available),
        on_battery=_on_battery(),
        steal=steal,
        others=others,
        own=own,
        throttled_ms=None if throttled is None or throttled_before is None else throttled - throttled_before,
        throttled_total_ms=throttled,
        gpu=gpu,
        gpu_busy_before=gpu.busy if gpu and previous is None else None,
        cpu_times=times,
    )


def warnings(conditions: Conditions, threads: int = 1) -> list[str]:
    """One sentence for each reason not to trust a measurement of ``threads`` threads; none on a quiet machine.

    What comes before a sentence's first comma stays the same while numbers change: a caller can say it once.
    """
    c = conditions
    found = []
    if c.on_battery:
        found.append("The machine runs on battery, which slows it down.")
    if c.governors and set(c.governors) != {"performance"}:
        found.append(f"The CPU frequency governor is {', '.join(c.governors)}, not performance: clocks will vary.")
    load = None if c.load_1m is None else c.load_1m - (c.own or 0.0) * c.cpus
    if load is not None and c.cpus - load < threads - _LOAD_SLACK:
        found.append(
            f"Too few CPUs are free for {threads} thread{'s' if threads > 1 else ''}, with a load of others of "
            f"{load:.1f} on {c.cpus} CPUs in the last minute."
        )
    if c.others is not None and c.others > _OTHERS:
        found.append(f"Other processes took the CPUs' time, {c.others:.0%} of it.")
    if c.steal is not None and c.steal > _STEAL:
        found.append(f"The hypervisor gave the CPUs' time to other guests, {c.steal:.1%} of it.")
    if c.throttled_ms:
        found.append(f"A CPU quota stopped this container, for {c.throttled_ms:.0f} ms.")
    if c.temperature_c is not None and c.temperature_c >= _CPU_HOT_C:
        found.append(f"The machine is hot, {c.temperature_c:.0f} °C.")
    return found + ([] if c.gpu is None else _gpu_warnings(c.gpu, c.gpu_busy_before))


def cores_for(threads: int) -> list[int] | None:
    """Logical CPUs that a measuring process of ``threads`` threads may be pinned to, the best first and core 0 last.

    Each is of another physical core. None where the platform cannot pin, or where no core would be left for everything
    else.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return None
    cores = _physical_cores(set(os.sched_getaffinity(0)))
    return cores if len(cores) > threads else None


class Watch:
    """Looks at the machine and says each reason for mistrust once.

    Args:
        device: measured on.
        threads: of each inference.
        progress: where to say it.
    """

    def __init__(self, device: str, threads: int, progress: Progress) -> None:
        self._device, self._threads, self._progress = device, threads, progress
        self._last: Conditions | None = None
        self._said: set[str] = set()

    def look(self) -> dict[str, Any]:
        """The machine now, as JSON types."""
        self._last = snapshot(self._device, self._last)
        for sentence in warnings(self._last, self._threads):
            kind = re.sub(r"[\d.]+", "", sentence)
            if kind not in self._said:
                self._said.add(kind)
                self._progress.note(f"warning: {sentence}")
        return asdict(self._last)


def _told(ask: Callable[[], T]) -> T | None:
    """What psutil answers; None where the platform does not tell."""
    try:
        return ask()
    except (psutil.Error, OSError, NotImplementedError, AttributeError, LookupError, ValueError):
        return None


def _cpu_times() -> CpuTimes:
    told = psutil.cpu_times()._asdict()  # the time of guests is in user
    busy = sum(told.get(kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
    steal = told.get("steal", 0.0)
    own = 0.0
    for process in _family():
        with suppress(psutil.Error):  # it has ended
            own += sum(process.cpu_times()[:4])  # and those of its children that ended
    return CpuTimes(busy + told["idle"] + told.get("iowait", 0.0) + steal, busy, steal, own)


def _family() -> list[psutil.Process]:
    """The process itself and all below it."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _strangers() -> set[int]:
    return set(psutil.pids()) - {process.pid for process in _family()}


def _frequencies_mhz() -> tuple[float, float]:
    mhz = [cpu.current for cpu in psutil.cpu_freq(percpu=True)]
    return min(mhz), max(mhz)


def _temperature_c() -> float | None:
    degrees = [sensor.current for sensors in psutil.sensors_temperatures().values() for sensor in sensors]
    return max((value for value in degrees if 0 < value < 150), default=None)  # one without a sensor says -273 or 0


def _shares(
    before: CpuTimes | None, now: CpuTimes | None, cpus: int
) -> tuple[float | None, float | None, float | None]:
    """Steal, other processes' and own share of the time between two counts; None if they are too near or missing."""
    if before is None or now is None or now.total - before.total < _FEWEST_S * cpus:
        return None, None, None
    total = now.total - before.total
    busy, own = now.busy - before.busy, max(now.own - before.own, 0)
    others = max(busy - own, 0)  # the kernel counts the two at slightly different moments
    return (now.steal - before.steal) / total, others / total, min(own / total, 1.0)


def _gpu_warnings(gpu: Gpu, busy_before: float | None) -> list[str]:
    found = []
    if gpu.throttling:
        found.append(f"The GPU is slowed down: {', '.join(gpu.throttling)}.")
    if gpu.temperature_c is not None and gpu.temperature_c >= _GPU_HOT_C:
        found.append(f"The GPU is hot, {gpu.temperature_c:.0f} °C.")
    if gpu.other_processes:
        found.append(f"Others use the GPU, {gpu.other_processes} process{'es' if gpu.other_processes > 1 else ''}.")
    elif busy_before is not None and busy_before > _GPU_BUSY:
        found.append(f"The GPU was busy before the measurement began, {busy_before:.0%} of the time.")
    return found


def _governors() -> tuple[str, ...] | None:
    """The frequency governors in use, sorted."""
    found = {text for text in map(_read, SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")) if text}
    return tuple(sorted(found)) or None


def _throttled_ms() -> float | None:
    """How long the CPU quota of our container has stopped it so far; None outside of one."""
    for line in (_read(PROC / "self/cgroup") or "").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "" or "cpu" in controllers.split(","):  # version 2, version 1
            text = _read(SYS / "fs/cgroup" / controllers / group.strip("/") / "cpu.stat") or ""
            found = re.search(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)
            if found:
                return int(found[2]) / (1e3 if found[1] == "usec" else 1e6)
    return None


def _on_battery() -> bool | None:
    """Whether the machine runs on a battery of its own; None if it has neither battery nor charger.

    psutil takes the first battery it finds, which may be a mouse's.
    """
    discharging = []
    for supply in sorted(SYS.glob("class/power_supply/*")):
        kind = _read(supply / "type")
        if kind in ("Mains", "USB") and _read(supply / "online") == "1":
            return False
        if kind == "Battery" and _read(supply / "scope") != "Device":  # a mouse's battery is the mouse's
            discharging.append(_read(supply / "status") == "Discharging")
    return any(discharging) if discharging else None


def _physical_cores(allowed: set[int]) -> list[int]:
    """One allowed logical CPU of each physical core: the fast cores first, of these the last ones first.

    Core 0 serves most interrupts. Of hybrid processors the efficiency cores often have the last numbers.
    """
    firsts: dict[tuple[int, ...], int] = {}
    for cpu in sorted(allowed):
        siblings = _read(SYS / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        firsts.setdefault(_parse_cpu_list(siblings or "") or (cpu,), cpu)
    speeds = {cpu: _speed(cpu) for cpu in firsts.values()}
    # a processor's favoured cores are a few percent faster than their like; that is no other kind of core
    fast = 0.9 * max(speeds.values(), default=0)
    return sorted(speeds, key=lambda cpu: (speeds[cpu] >= fast, cpu), reverse=True)


def _parse_cpu_list(text: str) -> tuple[int, ...]:
    """``0-2,8`` is 0, 1, 2, 8; anything else is nothing."""
    ranges = re.findall(r"(\d+)(?:-(\d+))?(?:,|$)", text)
    return tuple(cpu for low, high in ranges for cpu in range(int(low), int(high or low) + 1))


def _speed(cpu: int) -> int:
    folder = SYS / f"devices/system/cpu/cpu{cpu}"
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):  # Arm; others
        text = _read(folder / name)
        if text and text.isdigit():
            return int(text)
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # not there, not ours to read, or the process has ended
        return None
