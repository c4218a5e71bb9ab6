"""A machine with a GPU that has PyTorch and its friends, and nothing else of what we depend on."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from vitas_hw.core.presets import preset
from vitas_hw.runs import directory
from vitas_hw.runs.directory import Run

ROOT = Path(__file__).parent.parent
MARK = "pytest.mark" + ".gpu"


def test_gpu_tests_are_collected_and_spaces_load_without_what_such_a_machine_lacks() -> None:
    """Fails if a file with GPU tests, or what it imports, needs more than ``bare_gpu_machine`` names."""
    program = (
        "import sys; sys.path[:0] = ['tests', '.']; import bare_gpu_machine, pytest\n"
        "from vitas_hw.runs.space_file import load_space\n"
        "assert load_space('vitas-deit-tiny').size > 1\n"
        "words = ['-m', 'gpu', '--collect-only', '-q', '-p', 'no:cacheprovider']\n"
        "words += ['-p', 'no:hypothesispytest', 'tests']\n"
        "sys.exit(pytest.main(words))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in done.stdout
    marked = {path.relative_to(ROOT) for path in ROOT.glob("tests/**/test_*.py") if MARK in path.read_text()}
    assert marked <= {Path(line.partition("::")[0]) for line in done.stdout.splitlines() if "::" in line}


def test_profiling_imports_without_xgboost_and_pymoo() -> None:
    """Fails if a fit or an optimizer is imported before it is used; pydantic is carried, see benchmarks/gpu."""
    program = (
        "import sys; sys.path[:0] = ['tests']; import bare_gpu_machine as bare\n"
        "bare.LACKS = tuple(name for name in bare.LACKS if not name.startswith('pydantic'))\n"
        "import vitas_hw.workflows.profile.profile, vitas_hw.workflows.search.search"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_step_is_recorded_where_some_libraries_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if a training ends with an error after all its work: a checkout alone, xgboost-cpu, onnxruntime-gpu."""

    def version(name: str) -> str:
        if name in ("vitas-hw", "xgboost", "pymoo", "onnxruntime"):
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(directory, "version", version)
    Run(tmp_path).record("train", preset("vitas-digits"), {}, [], [])
    (step,) = Run(tmp_path).read()["steps"]
    there = {"python", "numpy", "scikit-learn", "timm", "torch", "onnxruntime-gpu", "xgboost-cpu"}
    assert set(step["versions"]) == there
