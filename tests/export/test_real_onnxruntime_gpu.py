"""The real ``onnxruntime-gpu`` on a CPU, installed as a user would: which of two packages wins, and what is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FACTS = """
import json
from dataclasses import asdict
from vitas_hw.profiling.installation.facts import read_gpu_facts
from vitas_hw.profiling.installation.faults import gpu_faults
facts = read_gpu_facts()
print(facts.onnxruntime.cuda, facts.onnxruntime.replaced > 0)
for gap in gpu_faults(facts):
    print(gap.line)
"""
LOADS = """
import onnxruntime
from pathlib import Path
from vitas_hw.profiling.installation.facts import _onnxruntime
print("CUDAExecutionProvider" in onnxruntime.get_available_providers())
print(_onnxruntime(open_libraries=True).unloadable)
"""
SESSION = """
from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.backends.onnxruntime_backend import OnnxRuntimeBackend
subnet = Subnet((16, 16), 1, 8, 16, (Block(2, 8, 32),), 8)
for backend in ("onnxruntime", "onnxruntime-trt"):
    try:
        OnnxRuntimeBackend(Target("here", backend, "fp32", 1, None, (16, 16)), "cuda:0").open(subnet)
    except VitasError as error:
        print(error.problem)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees the packages of this one, with both onnxruntimes of its own."""
    folder = tmp_path_factory.mktemp("onnxruntime") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "outer.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return folder / "bin/python"


def install(python: Path, line: str) -> None:
    """A line of the doctor's, or of docs/gpu.md, in that environment."""
    (packages,) = python.parent.parent.glob("lib/python3*/site-packages")
    words = line.removeprefix("pip install ").split()
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--ignore-installed", *words], check=True, timeout=600)
    assert (packages / "onnxruntime").is_dir()


def said(python: Path, program: str) -> list[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(python), "-c", program], env=variables, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.full
def test_the_line_that_the_doctor_names_puts_the_gpus_files_on_top(python: Path) -> None:
    """Fails if pip begins to write them last by itself, if the finding is not made, if its line does not mend it.

    Or if a provider that cannot load here ends in anything but our own sentence.
    """
    install(python, "pip install --no-deps onnxruntime onnxruntime-gpu>=1.28")
    replaced, line = said(python, FACTS)
    assert replaced == "None True"
    assert line.startswith("pip install --force-reinstall --no-deps onnxruntime-gpu==")
    install(python, line)
    assert said(python, FACTS) == ["13.0 False"]
    there, unloadable = said(python, LOADS)
    assert there == "True"
    assert "cannot open shared object file" in unloadable
    by_cuda, by_tensorrt = said(python, SESSION)
    loader = r"lib\w+\.so\.\d+: cannot open shared object file: No such file or directory\."
    assert re.fullmatch(rf"ONNX Runtime could not load its CUDAExecutionProvider: {loader}", by_cuda)
    assert re.fullmatch(rf"ONNX Runtime could not load its TensorrtExecutionProvider: {loader}", by_tensorrt)
