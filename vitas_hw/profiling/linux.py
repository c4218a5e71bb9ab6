"""What Linux tells under ``/proc`` and ``/sys`` and psutil does not; None is a fact that is not told."""

from __future__ import annotations

import re
from pathlib import Path

PROC, SYS = Path("/proc"), Path("/sys")


def governors() -> tuple[str, ...] | None:
    """The frequency governors in use, sorted."""
    found = {text for text in map(_read, SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")) if text}
    return tuple(sorted(found)) or None


def throttled_ms() -> float | None:
    """How long the CPU quota of our container has stopped it so far; None outside of one."""
    for line in (_read(PROC / "self/cgroup") or "").splitlines():
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "" or "cpu" in controllers.split(","):  # version 2, version 1
            text = _read(SYS / "fs/cgroup" / controllers / group.strip("/") / "cpu.stat") or ""
            found = re.search(r"^throttled_(usec|time) (\d+)$", text, re.MULTILINE)
            if found:
                return int(found[2]) / (1e3 if found[1] == "usec" else 1e6)
    return None


def on_battery() -> bool | None:
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


def physical_cores(allowed: set[int]) -> list[int]:
    """One allowed logical CPU of each physical core: the fast cores first, of these the last ones first.

    Core 0 serves most interrupts. Of hybrid processors the efficiency cores often have the last numbers.
    """
    firsts: dict[tuple[int, ...], int] = {}
    for cpu in sorted(allowed):
        siblings = _read(SYS / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        firsts.setdefault(parse_cpu_list(siblings or "") or (cpu,), cpu)
    speeds = {cpu: _speed(cpu) for cpu in firsts.values()}
    # a processor's favoured cores are a few percent faster than their like; that is no other kind of core
    fast = 0.9 * max(speeds.values(), default=0)
    return sorted(speeds, key=lambda cpu: (speeds[cpu] >= fast, cpu), reverse=True)


def parse_cpu_list(text: str) -> tuple[int, ...]:
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
