"""What does not fit together of driver, PyTorch, ONNX Runtime and TensorRT, and the one line that mends each.

The lines take packages from the Python package index. The versions in them are those of ``docs/gpu.md``, where each is
checked against the wheels' own libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vitas_hw.profiling.installation.facts import GpuFacts, OnnxRuntime, Torch
from vitas_hw.profiling.installation.gap import Gap

# requirements of the newest wheels built for a CUDA
_TORCH = {"12": "'torch<2.11'", "13": "torch"}
_TORCH_OF_OLD_GPUS = {70: "'torch<2.11'", 50: "'torch<2.8'"}  # by the compute capability from which they have kernels
_ONNXRUNTIME = {"12": "'onnxruntime-gpu{extras}<1.27'", "13": "'onnxruntime-gpu{extras}>=1.28'"}
_OLDEST_DRIVER = {"12": "525", "13": "580"}
_OVER = "pip install --force-reinstall --no-deps"


def gpu_faults(facts: GpuFacts) -> Iterator[Gap]:
    """The findings, in the order in which they are best mended; none on a machine without driver and GPU packages."""
    if facts.driver_fault:
        yield Gap(f"NVIDIA's driver does not answer: {facts.driver_fault}", "sudo reboot")
    if facts.driver is not None and facts.torch is not None:
        yield from _torch_faults(facts, facts.torch)
    runtime = facts.onnxruntime
    if runtime is not None:
        yield from _onnxruntime_faults(facts, runtime)
    elif _usable(facts):
        what = "onnxruntime on the GPU: onnxruntime-gpu is not installed"
        yield Gap(what, f"pip install {_onnxruntime(_cuda_of(facts), '[cuda,cudnn]')}")
    yield from _tensorrt_faults(facts)


def tensorrt_line(facts: GpuFacts, library: str) -> str:
    """What installs ``tensorrt`` or ``tensorrt-rtx`` for the CUDA of this machine."""
    return f"pip install {library}-cu{_cuda_of(facts)}"


def _torch_faults(facts: GpuFacts, torch: Torch) -> Iterator[Gap]:
    here = f"driver {facts.driver}" + (f" (CUDA {facts.driver_cuda})" if facts.driver_cuda else "")
    if torch.cuda is None:
        what = f"torch: {torch.version} is built without CUDA, beside {here}"
        yield Gap(what, f"pip install --force-reinstall {_TORCH[_cuda_of(facts)]} torchvision")
        return
    if facts.driver_cuda and _major(facts.driver_cuda) < _major(torch.cuda):
        needed = _OLDEST_DRIVER.get(str(_major(torch.cuda)), "")
        what = f"torch: {torch.version} is built for CUDA {torch.cuda}, too new for {here}"
        what += f"; a driver from {needed} on would do as well" if needed else ""
        older = _TORCH.get(str(_major(facts.driver_cuda)))
        yield Gap(what, f"pip install {older} torchvision" if older else "")
        return
    if not torch.devices and facts.visible is not None:
        yield Gap(f"torch: CUDA_VISIBLE_DEVICES={facts.visible!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    elif not torch.devices:
        what = f"torch: it can use no GPU, beside {here}; the line shows why"
        yield Gap(what, "python -c 'import torch; torch.cuda.init()'")
    for name, capability in facts.gpus if torch.kernels else ():
        if not _runs_on(torch.kernels, capability):
            kernels = ", ".join(torch.kernels)
            what = f"torch: {torch.version} has no kernels for {name} (compute capability {capability}), but {kernels}"
            number, oldest = _number(capability), min(map(_architecture, torch.kernels))
            wanted = next((one for least, one in _TORCH_OF_OLD_GPUS.items() if least <= number < oldest), "-U torch")
            yield Gap(what, f"pip install {wanted} torchvision" if number >= min(_TORCH_OF_OLD_GPUS) else "")


def _onnxruntime_faults(facts: GpuFacts, runtime: OnnxRuntime) -> Iterator[Gap]:
    name = f"onnxruntime-gpu {runtime.version}"
    if runtime.replaced:  # nothing else can be said of it before
        other = facts.packages.get("onnxruntime")
        over = (
            f"onnxruntime {other} lies over it in the same folder" if other else "removing onnxruntime took them along"
        )
        what = f"onnxruntime on the GPU: {runtime.replaced} files of {name} are not its own; {over}"
        yield Gap(what, f"{_OVER} onnxruntime-gpu=={runtime.version}")
        return
    if not _usable(facts):
        return
    cuda, wanted = runtime.cuda, _cuda_of(facts)
    if cuda is not None and str(_major(cuda)) != wanted:
        assert facts.torch is not None
        what = f"onnxruntime on the GPU: {name} is built for CUDA {cuda}, torch for {facts.torch.cuda}"
        yield Gap(what, f"{_OVER} {_onnxruntime(wanted)}")
    elif "cuda" in runtime.unloadable:
        what = f"onnxruntime on the GPU: its CUDA provider does not load: {runtime.unloadable['cuda']}"
        yield Gap(what, f"pip install 'onnxruntime-gpu[cuda,cudnn]=={runtime.version}'")
    elif "tensorrt" in runtime.unloadable:
        yield _provider_of_tensorrt(facts, runtime.unloadable["tensorrt"], name)


def _provider_of_tensorrt(facts: GpuFacts, said: str, name: str) -> Gap:
    needed = re.search(r"libnv(?:infer\w*|onnxparser)\.so\.(\d+)", said)
    if needed is None:
        return Gap(f"onnxruntime-trt: the TensorRT provider of {name} does not load: {said}")
    version = int(needed[1])
    there = [(package, facts.packages[package]) for package in _tensorrts(facts)]
    beside = [f"{package} {known}" for package, known in there if _major(known) != version]
    what = f"onnxruntime-trt: the TensorRT provider of {name} needs TensorRT {version}"
    if beside:
        what += f", and {beside[0]} is installed"
    else:
        what += f" and does not find it: {said}" if there else ", which is not installed"
    anew = " --force-reinstall" if there and not beside else ""
    return Gap(what, f"pip install{anew} 'tensorrt-cu{_cuda_of(facts)}<{version + 1}'")


def _tensorrt_faults(facts: GpuFacts) -> Iterator[Gap]:
    """Of TensorRT's own packages: for another CUDA than the driver's, or for two of them in one folder."""
    if facts.driver is None:
        return
    for library in ("tensorrt", "tensorrt-rtx"):
        there = [f"{library}-cu{cuda}" for cuda in _TORCH if f"{library}-cu{cuda}" in facts.packages]
        wanted = f"{library}-cu{_cuda_of(facts)}"
        wrong = [package for package in there if package != wanted]
        too_new = facts.driver_cuda is not None and any(_major(facts.driver_cuda) < int(name[-2:]) for name in wrong)
        if len(there) < 2 and not too_new:  # a driver of CUDA 13 runs what is built for 12
            continue
        parts = [f"{package}{part}" for package in wrong for part in ("", "-bindings", "-libs")]
        what = (
            f"{library}: {' and '.join(there)} are both installed, in one folder"
            if len(there) > 1
            else f"{library}: {there[0]} needs a driver from {_OLDEST_DRIVER[there[0][-2:]]} on, not {facts.driver}"
        )
        yield Gap(what, f"pip uninstall -y {' '.join(parts)} && pip install --force-reinstall {wanted}")


def _tensorrts(facts: GpuFacts) -> list[str]:
    return [package for package in ("tensorrt", "tensorrt-cu12", "tensorrt-cu13") if package in facts.packages]


def _usable(facts: GpuFacts) -> bool:
    """Whether torch can use a GPU: until it can, nothing else needs to be mended."""
    return facts.driver is not None and facts.torch is not None and facts.torch.devices > 0


def _cuda_of(facts: GpuFacts) -> str:
    """The major version of CUDA that packages must be built for: torch's where it can run, else the driver's."""
    told = facts.torch.cuda if facts.torch is not None and facts.torch.devices else facts.driver_cuda
    return "12" if told is not None and _major(told) < 13 else "13"


def _onnxruntime(cuda: str, extras: str = "") -> str:
    return _ONNXRUNTIME[cuda].format(extras=extras)


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _number(capability: str) -> int:
    major, minor = capability.split(".")
    return 10 * int(major) + int(minor)


def _architecture(kernel: str) -> int:
    return int(re.sub(r"\D", "", kernel))


def _runs_on(kernels: tuple[str, ...], capability: str) -> bool:
    """Machine code runs on its own major version from its minor on; the driver compiles ``compute_`` for all newer."""
    number = _number(capability)
    for kernel in kernels:
        known = _architecture(kernel)
        if kernel.endswith("a"):  # for one architecture alone
            runs = known == number
        else:
            runs = known <= number and (kernel.startswith("compute") or known // 10 == number // 10)
        if runs:
            return True
    return False
