"""The machine and libraries behind a measurement."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")
# of the first processor, as x86 and Arm name them; those that change with the clock are left out
_CPU_FACTS = ("cpu family", "model", "stepping", "cache size", "flags")
_PACKAGES = (
    "vitas-hw",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx-cu12",
    "tensorrt-rtx-cu13",
    "torch",
    "timm",
)
_ARM_FACTS = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features")


def cpu_model() -> str:
    """The processor's own name, or what comes nearest to it."""
    facts = _cpuinfo()
    if "model name" in facts:
        return facts["model name"]
    if platform.system() == "Darwin":
        found = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        if found.stdout.strip():
            return found.stdout.strip()
    if "CPU part" in facts:  # Arm gives numbers only
        return f"arm {facts.get('CPU implementer', '')} {facts['CPU part']}"
    return platform.processor() or platform.machine()


def hardware(accelerator: str | None = None, **beside: Any) -> dict[str, Any]:
    """What makes two machines the same for a profile: the accelerator's name, or the facts of the CPU without one.

    ``beside`` are further facts on which the latencies of an accelerator depend. Those of an NVIDIA GPU are ``cpu``,
    ``driver`` and ``power_limit_w``; profiles from before these were kept have the name alone.
    """
    if accelerator is not None:
        return {"accelerator": accelerator, "machine": platform.machine(), **beside}
    facts: dict[str, Any] = {"cpu": cpu_model(), "machine": platform.machine(), "cpus": os.cpu_count()}
    for key, value in _cpuinfo().items():
        if key in _CPU_FACTS or key in _ARM_FACTS:
            facts[key.replace(" ", "_").lower()] = _short_hash(value) if key in ("flags", "Features") else value
    return facts


def _cpuinfo() -> dict[str, str]:
    """Linux's facts about the first processor; nothing elsewhere."""
    try:
        first = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def fingerprint(accelerator: str | None = None, **beside: Any) -> str:
    """16 hexadecimal digits that stay the same on the same hardware; arguments are those of ``hardware``."""
    return _short_hash(json.dumps(hardware(accelerator, **beside), sort_keys=True))


def environment(settings: dict[str, Any], accelerator: str | None = None, **beside: Any) -> dict[str, Any]:
    """Hardware (see there), system, libraries and the settings of the measurement, as JSON types."""
    return {
        "fingerprint": fingerprint(accelerator, **beside),
        "hardware": hardware(accelerator, **beside),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
        "settings": settings,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
