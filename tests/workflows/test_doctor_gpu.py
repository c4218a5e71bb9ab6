"""What the doctor makes of machines with an NVIDIA GPU, recorded as plain facts; and how it reads the facts."""

from __future__ import annotations

import ctypes
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pynvml
import pytest

from vitas_hw.profiling.installation import faults as gpu_faults_module
from vitas_hw.profiling.installation.facts import GpuFacts, OnnxRuntime, read_gpu_facts
from vitas_hw.profiling.installation.faults import gpu_faults, tensorrt_line

ROOT = Path(__file__).parent.parent.parent
MACHINES: dict[str, Any] = json.loads((Path(__file__).parent / "gpu_machines.json").read_text())


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_told_what_mends_it(name: str) -> None:
    facts = GpuFacts.from_dict(MACHINES[name]["facts"])
    assert [[gap.what, gap.line] for gap in gpu_faults(facts)] == MACHINES[name]["told"]


def test_facts_survive_json() -> None:
    for machine in MACHINES.values():
        facts = GpuFacts.from_dict(machine["facts"])
        assert GpuFacts.from_dict(json.loads(json.dumps(asdict(facts)))) == facts


@pytest.mark.parametrize(
    ("name", "line"),
    [("a driver too old for torch", "pip install tensorrt-cu12"), ("all fits, CUDA 13", "pip install tensorrt-cu13")],
)
def test_tensorrt_is_installed_for_the_machines_cuda(name: str, line: str) -> None:
    assert tensorrt_line(GpuFacts.from_dict(MACHINES[name]["facts"]), "tensorrt") == line


def test_the_doctor_the_extras_and_the_page_name_the_same_versions() -> None:
    """Fails if one of them is changed alone."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs/gpu.md").read_text()
    for cuda, extra in (("13", "gpu"), ("12", "gpu-cu12")):
        wanted = gpu_faults_module._ONNXRUNTIME[cuda].format(extras="").strip("'").removeprefix("onnxruntime-gpu")
        (runtime,) = [one for one in extras[extra] if one.startswith("onnxruntime-gpu[cuda,cudnn]")]
        assert runtime.endswith(wanted)
        assert f"--no-deps 'onnxruntime-gpu{wanted}'" in page
        assert gpu_faults_module._TORCH[cuda].strip("'") in [*extras[extra], "torch"]
        assert f"{gpu_faults_module._OLDEST_DRIVER[cuda]} or newer" in page
    for library in ("tensorrt", "tensorrt-cu12", "tensorrt-rtx", "tensorrt-rtx-cu12"):
        package = extras[library][0].partition(">")[0]
        assert f"| `{library}` | `{package}` |" in page


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes NVML answer for one GPU, or raise the error given."""

    def answers(error: Exception | None = None) -> None:
        def init() -> None:
            if error is not None:
                raise error

        monkeypatch.setattr(pynvml, "nvmlInit", init)
        monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion_v2", lambda: 12040)
        monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: "550.163.01")
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda gpu: "NVIDIA L4")
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCudaComputeCapability", lambda gpu: (8, 9))

    return answers


def test_the_driver_tells_its_cuda_and_its_gpus(driver: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    driver()
    found = read_gpu_facts()
    assert (found.driver, found.driver_cuda, found.gpus) == ("550.163.01", "12.4", (("NVIDIA L4", "8.9"),))
    assert found.visible == "7"
    assert found.torch is not None
    driver(pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    assert read_gpu_facts().driver_fault == str(pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    driver(pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    assert (read_gpu_facts().driver, read_gpu_facts().driver_fault) == (None, "")


def install(site: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """As pip leaves a package: its files, and a record of their sizes."""
    (site / "onnxruntime/capi").mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (site / path).write_bytes(data)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    rows = [f"{path},sha256=x,{len(data)}\n" for path, data in files.items()]
    (info / "RECORD").write_text("".join(rows) + f"{info.name}/RECORD,,\n")


ABOUT = "onnxruntime/capi/build_and_package_info.py"
GPU_FILES = {
    ABOUT: b"package_name = 'onnxruntime-gpu'\n__version__ = '1.31.1'\ncuda_version = '13.0'\n",
    "onnxruntime/capi/libonnxruntime_providers_shared.so": b"",
    "onnxruntime/capi/libonnxruntime_providers_cuda.so": b"not a library",
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": b"nor this",
}


def test_the_files_of_onnxruntime_gpu_are_held_against_its_record(
    driver: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    driver(pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    install(tmp_path, "onnxruntime-gpu", "1.31.1", GPU_FILES)
    assert read_gpu_facts().onnxruntime == OnnxRuntime("1.31.1", "13.0")  # no driver: no library is opened
    install(tmp_path, "onnxruntime", "1.32.0", {ABOUT: b"package_name = 'onnxruntime'\n__version__ = '1.32.0'\n"})
    found = read_gpu_facts()
    assert found.onnxruntime == OnnxRuntime("1.31.1", None, replaced=1)
    assert (found.packages["onnxruntime"], found.packages["onnxruntime-gpu"]) == ("1.32.0", "1.31.1")
    (tmp_path / ABOUT).unlink()
    found = read_gpu_facts()
    assert found.onnxruntime == OnnxRuntime("1.31.1", None, replaced=1)


def test_a_provider_that_does_not_load_says_what_the_loader_says(
    driver: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    driver()
    install(tmp_path, "onnxruntime-gpu", "1.31.1", GPU_FILES)
    opened = []

    def library(path: str, mode: int = ctypes.DEFAULT_MODE) -> None:
        opened.append(Path(path).name)
        if "tensorrt" in path:
            raise OSError("libnvinfer.so.10: cannot open shared object file:\n No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", library)
    found = read_gpu_facts().onnxruntime
    assert found is not None
    assert found.unloadable == {
        "tensorrt": "libnvinfer.so.10: cannot open shared object file: No such file or directory"
    }
    shared = "libonnxruntime_providers_shared.so"
    ours = [name for name in opened if name.startswith("libonnxruntime")]  # torch asks for the driver's
    assert ours == [shared, "libonnxruntime_providers_cuda.so", shared, "libonnxruntime_providers_tensorrt.so"]
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    driver()
    found = read_gpu_facts().onnxruntime
    assert found is not None
    assert "libonnxruntime_providers_shared.so" in found.unloadable["cuda"]  # an empty file, to the real loader
