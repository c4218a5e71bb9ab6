"""Written files in virtual environments that hold their own library and nothing of ours."""

from __future__ import annotations

import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from written import READERS, UNIFORM, write

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.parity import torch_program
from vitas_hw.supernet.plain import build_model

READ = """
import sys
import numpy as np
model, images = sys.argv[2], np.load(sys.argv[3])
exec(sys.argv[1])
np.save(sys.argv[4], logits)
for ours in ("vitas_hw", *sys.argv[5:]):
    try:
        __import__(ours)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{ours} is here")
"""
# what pip installs, and what must not have come along
INSTALLED = {"onnx": (["onnxruntime"], ["onnx", "torch", "timm"]), "xml": (["openvino"], ["onnx", "torch", "timm"])}
LINKED = ("timm", "pt2")  # torch is gigabytes: theirs see the packages installed here, but for ours
OURS = ("vitas_hw", "_vitas_hw", "_editable", "onnx", "openvino", "tensorrt", "xgboost", "pymoo")


def environment(folder: Path, kind: str) -> Path:
    """A new virtual environment's python."""
    made = [sys.executable, "-m", "venv", str(folder)]
    subprocess.run([*made, "--without-pip"] if kind in LINKED else made, check=True)
    python = folder / "bin" / "python"
    if kind in INSTALLED:
        words = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *INSTALLED[kind][0]]
        subprocess.run(words, check=True, timeout=600)
        return python
    (packages,) = folder.glob("lib/python3*/site-packages")
    for source in site.getsitepackages():
        for entry in Path(source).iterdir():
            if not entry.name.startswith(OURS) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    return python


@pytest.mark.full
@pytest.mark.parametrize("kind", READERS)
def test_a_file_runs_with_its_own_library_alone(
    kind: str, small: SearchSpace, randomise: Callable[[object, int], None], tmp_path: Path
) -> None:
    python = environment(tmp_path / "venv", kind)
    images = np.random.default_rng(0).standard_normal((5, 1, 32, 32), np.float32)
    np.save(tmp_path / "images.npy", images)
    subnets: list[Subnet] = [small.sample(3), UNIFORM]
    for number, subnet in enumerate(subnets):
        model = build_model(subnet).eval()
        randomise(model, 0)
        path, logits = tmp_path / f"model-{number}.{kind}", tmp_path / f"logits-{number}.npy"
        write(model, subnet, kind, path)
        words = [READERS[kind], str(path), str(tmp_path / "images.npy"), str(logits)]
        absent = INSTALLED[kind][1] if kind in INSTALLED else ["onnx", "onnxruntime", "openvino"]
        done = subprocess.run(
            [str(python), "-I", "-c", READ, *words, *absent], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert np.abs(np.load(logits) - torch_program(model)(images)).max() < 1e-5
