"""What this machine can measure, and what is missing for the rest."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.target import BACKENDS
from vitas_hw.predictors.predictor import read_predictor
from vitas_hw.predictors.shipped import shipped
from vitas_hw.profiling.backend import BackendInfo, backend_info
from vitas_hw.profiling.environment import cpu_model
from vitas_hw.profiling.installation.facts import GpuFacts, read_gpu_facts
from vitas_hw.profiling.installation.faults import gpu_faults, tensorrt_line
from vitas_hw.profiling.installation.gap import Gap
from vitas_hw.profiling.nvidia import driver_and_gpus
from vitas_hw.profiling.place import place_of

_DISTRIBUTIONS = (
    "torch",
    "timm",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "ray",
)
_LITTLE_DISK, _LITTLE_MEMORY = 2 * 2**30, 2 * 2**30
# for a runtime that is there and broken, if it is not called as its package; one that is missing says its own line
_PACKAGES = {"torch": "torch timm", "tensorrt-rtx": "tensorrt-rtx-cu13"}


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Machine:
    """The computer, as far as it bears on measuring.

    Args:
        cpu: the processor's own name.
        cores, usable_cores: logical ones, of the machine and of this process.
        memory_bytes, memory_free_bytes: of the machine, the latter without swapping.
        disk_free_bytes: where the doctor was called.
        python, system: versions.
        nvidia_driver: its version; None without one.
        nvidia_gpus: the GPUs' own names, as the driver tells them.
    """

    cpu: str = field(default_factory=cpu_model)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    usable_cores: int = field(default_factory=_usable_cores)
    memory_bytes: int = field(default_factory=lambda: psutil.virtual_memory().total)
    memory_free_bytes: int = field(default_factory=lambda: psutil.virtual_memory().available)
    disk_free_bytes: int = field(default_factory=lambda: shutil.disk_usage(Path.cwd()).free)
    python: str = field(default_factory=platform.python_version)
    system: str = field(default_factory=lambda: f"{platform.system()} {platform.release()}")
    nvidia_driver: str | None = field(default_factory=lambda: driver_and_gpus()[0])
    nvidia_gpus: tuple[str, ...] = field(default_factory=lambda: driver_and_gpus()[1])


@dataclass(frozen=True)
class Device:
    """Something to measure on.

    Args:
        device: as a target is asked for: ``cpu``, ``cuda:0``, ...
        hardware: its own name.
        backends: those that can use it.
    """

    device: str
    hardware: str
    backends: tuple[str, ...]


@dataclass(frozen=True)
class Shipped:
    """A shipped predictor, and whether this machine is the one whose latencies it predicts."""

    name: str
    fits: bool


@dataclass(frozen=True)
class Diagnosis:
    """The machine, all backends in the order of ``BACKENDS``, what they can measure here, and what lacks."""

    machine: Machine
    devices: tuple[Device, ...]
    backends: tuple[BackendInfo, ...]
    targets: tuple[dict[str, str], ...]
    predictors: tuple[Shipped, ...]
    gaps: tuple[Gap, ...]
    gpu_facts: GpuFacts


@dataclass(frozen=True)
class Glance:
    """What is known without loading a runtime: the machine, versions of installed distributions, what lacks."""

    machine: Machine
    installed: dict[str, str]
    gaps: tuple[Gap, ...]


def glance() -> Glance:
    """Ask no backend: a fraction of a second, but whether a runtime loads, and what it can use, is not told."""
    installed = {}
    for name in _DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    machine = Machine()
    return Glance(machine, installed, tuple(_gaps_of_the_machine(machine)))


def diagnose(progress: Progress = SILENT) -> Diagnosis:
    """Ask every backend. Imports every runtime; one whose import fails is reported as missing."""
    found = []
    with progress.step("asking the backends", len(BACKENDS)) as advance:
        for name in BACKENDS:
            found.append(_ask(name))
            advance(name)
    backends, machine = tuple(found), Machine()
    targets = tuple(
        {"device": device, "backend": info.name, "precision": precision}
        for info in backends
        if not info.missing
        for device in info.devices
        for precision in info.precisions
    )
    predictors, facts = tuple(_shipped(backends)), read_gpu_facts()
    gaps = (*gpu_faults(facts), *_gaps(machine, backends, predictors, facts))
    return Diagnosis(machine, _devices(backends), backends, targets, predictors, gaps, facts)


def _shipped(backends: Sequence[BackendInfo]) -> Iterator[Shipped]:
    here = {info.name: info for info in backends}
    for path in sorted(shipped("predictors").glob("*.json")):
        found = read_predictor(path)
        yield Shipped(path.stem, place_of(found.target, found.fingerprint, here[found.target.backend]) is not None)


def _gaps(
    machine: Machine, backends: Sequence[BackendInfo], predictors: Sequence[Shipped], facts: GpuFacts
) -> Iterator[Gap]:
    for info in backends:
        if not info.missing or info.name == "onnxruntime-trt":  # the facts tell what it lacks
            continue
        if not info.name.startswith("tensorrt"):
            yield Gap(f"{info.name}: {info.missing}", info.install)
        elif facts.driver is not None:  # without one nobody misses them
            yield Gap(f"{info.name}: {info.missing}", info.install and tensorrt_line(facts, info.name))
    yield from _gaps_of_the_machine(machine)
    if not any(predictor.fits for predictor in predictors):
        yield Gap("predictors: no shipped one was measured on a machine like this", step="profile")


def _gaps_of_the_machine(machine: Machine) -> Iterator[Gap]:
    if machine.disk_free_bytes < _LITTLE_DISK:
        yield Gap(
            f"disk: {machine.disk_free_bytes / 2**30:.1f} GiB are free here, too few for a checkpoint of a large run",
            step="train",
            settings=(("run", "/another/disk/run"),),
        )
    if machine.memory_free_bytes < _LITTLE_MEMORY:
        yield Gap(
            f"memory: {machine.memory_free_bytes / 2**30:.1f} GiB are free, too few to train and measure",
            step="train",
            settings=(("batch_size", "16"),),
        )


def _ask(name: str) -> BackendInfo:
    try:
        return backend_info(name)
    except Exception as error:  # whatever a broken runtime raises is a finding
        runtime = name.split("-")[0]
        said = next((line for line in str(error).splitlines() if line.strip()), "no message")
        package = _PACKAGES.get(name) or _PACKAGES.get(runtime, runtime)
        if isinstance(error, ModuleNotFoundError):
            return BackendInfo(name, None, missing=f"{error.name} is not installed", install=f"pip install {package}")
        missing = f"it fails to load: {type(error).__name__}: {said}"
        return BackendInfo(name, None, missing=missing, install=f"pip install --force-reinstall {package}")


def _devices(backends: Sequence[BackendInfo]) -> tuple[Device, ...]:
    users: dict[tuple[str, str], list[str]] = {}
    for found in backends:
        for device, hardware in found.devices.items():
            users.setdefault((device, hardware), []).append(found.name)
    return tuple(Device(device, hardware, tuple(names)) for (device, hardware), names in users.items())
