"""What is installed for NVIDIA GPUs, as plain data. Read here and judged elsewhere: so any machine's can be judged."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pynvml

from vitas_hw.profiling.backends.provider_library import CUDA, TENSORRT, refusal

# distributions that share a folder or need one another
_WATCHED = (
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx-cu12",
    "tensorrt-rtx-cu13",
)
_PROVIDERS = {"cuda": CUDA, "tensorrt": TENSORRT}


@dataclass(frozen=True)
class Torch:
    """The installed PyTorch.

    Args:
        version: with its local part, such as ``2.14.1+cu130``.
        cuda: the CUDA that it is built for, such as ``13.0``; None for a build without.
        devices: how many NVIDIA GPUs it can use.
        kernels: the architectures that it has kernels for, such as ``sm_90``; empty if it does not tell.
    """

    version: str
    cuda: str | None
    devices: int
    kernels: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnnxRuntime:
    """The files of ``onnxruntime-gpu``.

    Args:
        version: of the package.
        cuda: the CUDA that it is built for; None where the files do not tell.
        replaced: how many of its files are those of another package, or gone.
        unloadable: its provider libraries (``cuda``, ``tensorrt``) that do not load, and what the loader says.
    """

    version: str
    cuda: str | None = None
    replaced: int = 0
    unloadable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GpuFacts:
    """Everything that must fit together before an NVIDIA GPU can be used.

    Args:
        driver: its version; None without one, or if it does not answer.
        driver_fault: why it does not answer; empty if it does, or is not there.
        driver_cuda: the newest CUDA that it runs, such as ``12.4``.
        gpus: the GPUs' own names and compute capabilities.
        visible: the variable CUDA_VISIBLE_DEVICES; None if it is not set.
        torch: None if it is not installed or cannot be imported.
        onnxruntime: None without ``onnxruntime-gpu``.
        packages: versions of the installed distributions that share a folder or need one another.
    """

    driver: str | None = None
    driver_fault: str = ""
    driver_cuda: str | None = None
    gpus: tuple[tuple[str, str], ...] = ()
    visible: str | None = None
    torch: Torch | None = None
    onnxruntime: OnnxRuntime | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> GpuFacts:
        """The facts of a machine as ``asdict`` and JSON leave them."""
        torch, runtime = data.get("torch"), data.get("onnxruntime")
        return GpuFacts(
            **data
            | {
                "gpus": tuple((name, capability) for name, capability in data.get("gpus", ())),
                "torch": torch and Torch(**torch | {"kernels": tuple(torch.get("kernels", ()))}),
                "onnxruntime": runtime and OnnxRuntime(**runtime),
            }
        )


def read_gpu_facts() -> GpuFacts:
    """Those of this machine. Imports torch, and opens the libraries of ``onnxruntime-gpu`` where there is a driver."""
    packages = {name: version for name in _WATCHED if (version := _version(name)) is not None}
    torch = _torch()  # before the libraries: it brings those of CUDA into the process, as in a session of ours
    driver = _driver()
    there = "onnxruntime-gpu" in packages
    return replace(
        driver,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        torch=torch,
        onnxruntime=_onnxruntime(open_libraries=driver.driver is not None) if there else None,
        packages=packages,
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _driver() -> GpuFacts:
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return GpuFacts()
    except pynvml.NVMLError as error:  # its library and its kernel module are of two versions, for one
        return GpuFacts(driver_fault=str(error))
    try:
        number = pynvml.nvmlSystemGetCudaDriverVersion_v2()  # 12040 is 12.4
        gpus = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(gpu)
            gpus.append((str(pynvml.nvmlDeviceGetName(gpu)), f"{major}.{minor}"))
        version = str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        return GpuFacts(driver_fault=str(error))
    finally:
        pynvml.nvmlShutdown()
    return GpuFacts(driver=version, driver_cuda=f"{number // 1000}.{number % 1000 // 10}", gpus=tuple(gpus))


def _torch() -> Torch | None:
    try:
        import torch
    except (ImportError, OSError):  # the backend's own finding
        return None
    return Torch(
        str(torch.__version__), torch.version.cuda, torch.cuda.device_count(), tuple(torch.cuda.get_arch_list())
    )


def _onnxruntime(open_libraries: bool) -> OnnxRuntime:
    package = metadata.distribution("onnxruntime-gpu")
    files = [(Path(str(file.locate())), file.size) for file in package.files or () if file.size is not None]
    replaced = sum(not path.is_file() or path.stat().st_size != size for path, size in files)
    known = next((path for path, _ in files if path.name == "build_and_package_info.py"), None)
    told = known.read_text(encoding="utf-8") if known is not None and known.is_file() else ""
    cuda = re.search(r"cuda_version = '([\d.]+)'", told)
    libraries = {path.name: path for path, _ in files}
    with suppress(ImportError, OSError, RuntimeError):  # its import opens its libraries, as a session of ours does
        import_module("tensorrt")
    unloadable = {}
    for provider, library in _PROVIDERS.items() if open_libraries else ():
        if library in libraries and (said := refusal(libraries[library])):
            unloadable[provider] = said
    return OnnxRuntime(package.version, cuda and cuda[1], replaced, unloadable)
