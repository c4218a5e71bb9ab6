"""The machine and libraries behind a measurement."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.target import device_slug


def cpu_model() -> str:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpu_count() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """What makes two machines the same for a profile."""
    facts: dict[str, Any] = {"cpu": cpu_model(), "machine": platform.machine(), "cpus": cpu_count()}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return facts
    for key in ("cpu family", "model", "stepping", "cache size", "flags"):
        found = next((line for line in text.splitlines() if line.split(":")[0].strip() == key), None)
        if found is not None:
            value = found.split(":", 1)[1].strip()
            facts[key.replace(" ", "_")] = _short_hash(value) if key == "flags" else value
    return facts


def fingerprint() -> str:
    """16 hexadecimal digits that stay the same on the same hardware."""
    return _short_hash(json.dumps(hardware(), sort_keys=True))


def environment(settings: dict[str, Any]) -> dict[str, Any]:
    """Hardware, system, libraries and the settings of the measurement, as JSON types."""
    packages = ("vitas-hw", "numpy", "onnx", "onnxruntime", "torch", "timm")
    return {
        "fingerprint": fingerprint(),
        "hardware": hardware(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: found for name in packages if (found := _version(name)) is not None},
        "settings": settings,
    }


def check_device(device: str) -> str:
    """The default device name of ``device``.

    Raises:
        InputError: the device is not there, or nothing here measures on it.
    """
    if device == "cpu":
        return device_slug(cpu_model())
    if device.split(":")[0] == "cuda":
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.partition(":")[2] or "0"
        if not (index.isdigit() and int(index) < count):
            there = f"this machine has {count} CUDA device(s)" if count else "this machine has no CUDA device"
            raise InputError(f"There is no device {device!r}: {there}.", "Try --device cpu")
        raise InputError(f"Device {device!r} is there, but this version measures on cpu only.", "Try --device cpu")
    raise InputError(f"Unknown device {device!r}; known: cpu.", "Try --device cpu")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
