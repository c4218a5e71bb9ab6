"""What Linux tells about the machine under ``/proc`` and ``/sys``; None, on any system, is a fact that is not told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")


@dataclass(frozen=True)
class Ticks:
    """Processor time since the start, in the kernel's ticks, summed over all logical CPUs.

    Args:
        total: all of it.
        busy: running any process, interrupts too.
        steal: taken by the hypervisor for others.
        own: running this process and those it started.
    """

    total: int
    busy: int
    steal: int
    own: int


def read_ticks(pid: int, proc: Path = PROC) -> Ticks | None:
    """The counters now; ``own`` of the process ``pid`` and all below it."""
    first = (_read(proc / "stat") or "").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu" or not all(part.isdigit() for part in first[1:]):
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, first[1:9])  # guests are in user
    busy = user + nice + system + irq + softirq
    tree = family(pid, proc)
    return Ticks(busy + idle + iowait + steal, busy, steal, sum(tree.values()))


def family(pid: int, proc: Path = PROC) -> dict[int, int]:
    """The process ``pid`` and all below it, each with its ticks and those of its children that ended."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in proc.glob("[0-9]*/stat"):
        # the name, in parentheses, may hold spaces and parentheses itself
        fields = (_read(path) or "").rpartition(")")[2].split()
        if len(fields) > 14:
            child = int(path.parent.name)
            parents[child] = int(fields[1])
            ticks[child] = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    members = {pid} & set(ticks)
    newest = members
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest} - members
        members |= newest
    return {member: ticks[member] for member in sorted(members)}


def strangers(pid: int, proc: Path = PROC) -> set[int] | None:
    """The processes that are not in the family of ``pid``."""
    seen = {int(path.name) for path in proc.glob("[0-9]*")}
    return seen - set(family(pid, proc)) if seen else None


def governors(sys: Path = SYS) -> tuple[str, ...] | None:
    """The frequency governors in use, sorted."""
    found = {text for text in map(_read, _cpus(sys, "cpufreq/scaling_governor")) if text}
    return tuple(sorted(found)) or None


def frequencies_mhz(sys: Path = SYS, proc: Path = PROC) -> tuple[float, float] | None:
    """(lowest, highest) clock of the logical CPUs at this moment."""
    khz = [int(text) for text in map(_read, _cpus(sys, "cpufreq/scaling_cur_freq")) if text and text.isdigit()]
    mhz = [value / 1000 for value in khz]
    if not mhz:
        told = re.findall(r"^cpu MHz\s*:\s*([\d.]+)$", _read(proc / "cpuinfo") or "", re.MULTILINE)
        mhz = [float(value) for value in told]
    return (min(mhz), max(mhz)) if mhz else None


def available_memory_bytes(proc: Path = PROC) -> int | None:
    """Memory that can be had without swapping."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(proc / "meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def throttled_ms(sys: Path = SYS, proc: Path = PROC) -> float | None:
    """How long the CPU quota of our container has stopped it so far; None outside of one."""
    for line in (_read(proc / "self/cgroup") or "").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "" or "cpu" in controllers.split(","):  # version 2, version 1
            text = _read(sys / "fs/cgroup" / controllers / group.strip("/") / "cpu.stat") or ""
            found = re.search(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)
            if found:
                return int(found[2]) / (1e3 if found[1] == "usec" else 1e6)
    return None


def temperature_c(sys: Path = SYS) -> float | None:
    """The hottest thermal zone."""
    told = [_read(path) or "" for path in sys.glob("class/thermal/thermal_zone*/temp")]
    degrees = [int(text) / 1000 for text in told if re.fullmatch(r"-?\d+", text)]
    plausible = [value for value in degrees if 0 < value < 150]  # a zone without a sensor says -273 or 0
    return max(plausible, default=None)


def on_battery(sys: Path = SYS) -> bool | None:
    """Whether the machine runs on a battery of its own; None if it has neither battery nor charger."""
    discharging = []
    for supply in sorted(sys.glob("class/power_supply/*")):
        kind = _read(supply / "type")
        if kind in ("Mains", "USB") and _read(supply / "online") == "1":
            return False
        if kind == "Battery" and _read(supply / "scope") != "Device":  # a mouse's battery is the mouse's
            discharging.append(_read(supply / "status") == "Discharging")
    return any(discharging) if discharging else None


def physical_cores(allowed: set[int], sys: Path = SYS) -> list[int]:
    """One allowed logical CPU of each physical core: the fast cores first, of these the last ones first.

    Core 0 serves most interrupts. Of hybrid processors the efficiency cores often have the last numbers.
    """
    firsts: dict[tuple[int, ...], int] = {}
    for cpu in sorted(allowed):
        siblings = _read(sys / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        firsts.setdefault(parse_cpu_list(siblings or "") or (cpu,), cpu)
    speeds = {cpu: _speed(cpu, sys) for cpu in firsts.values()}
    # a processor's favoured cores are a few percent faster than their like; that is no other kind of core
    fast = 0.9 * max(speeds.values(), default=0)
    return sorted(speeds, key=lambda cpu: (speeds[cpu] >= fast, cpu), reverse=True)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """``0-2,8`` is 0, 1, 2, 8; anything else is nothing."""
    ranges = re.findall(r"(\d+)(?:-(\d+))?(?:,|$)", text)
    return tuple(cpu for low, high in ranges for cpu in range(int(low), int(high or low) + 1))


def _speed(cpu: int, sys: Path) -> int:
    folder = sys / f"devices/system/cpu/cpu{cpu}"
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):  # Arm; others
        text = _read(folder / name)
        if text and text.isdigit():
            return int(text)
    return 0


def _cpus(sys: Path, name: str) -> list[Path]:
    return sorted(sys.glob(f"devices/system/cpu/cpu[0-9]*/{name}"))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # not there, not ours to read, or the process has ended
        return None
