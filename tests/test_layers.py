"""Imports go down only, and `import vitas_hw` stays light (docs/design.md, Layers)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vitas_hw

PACKAGE = Path(vitas_hw.__file__).parent
ROOMS = {"profiling", "predictors", "searching", "supernet", "training", "export", "report"}
BESIDE = {("training", "supernet"), ("export", "supernet"), ("profiling", "export"), ("profiling", "supernet")}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        if name == "vitas_hw":  # the public surface is for users: rooms name the room they mean
            raise AssertionError(f"{path} imports the package itself")
        if not name.startswith("vitas_hw."):
            continue
        there = name.split(".")[1]
        if here in ("cli", ""):
            allowed = True
        elif here == "workflows":
            allowed = there != "cli"
        else:
            allowed = there in (here, "core") or (here, there) in BESIDE
        assert allowed, f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "core"], ids=lambda path: path.name)
def test_the_core_needs_only_numpy(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= set(sys.stdlib_module_names) | {"numpy", "vitas_hw"}


def test_every_room_is_known() -> None:
    assert {room(path) for path in FILES} <= ROOMS | {"core", "cli", "workflows", ""}


def loaded_by(code: str) -> set[str]:
    printed = f"{code}\nimport sys\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", printed], check=True, capture_output=True, text=True).stdout
    return {name.split(".")[0] for name in output.split()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "timm", "xgboost", "pydantic", "matplotlib", "ray", "onnx", "onnxruntime", "sklearn", "pymoo"}
    assert not loaded_by("import vitas_hw") & heavy


def test_spaces_subnets_and_budgets_need_no_torch() -> None:
    code = "import vitas_hw as vh; vh.load_space('vitas-digits').sample(0).macs; vh.published_subnet('vitas-c').params"
    assert not loaded_by(code) & {"torch", "xgboost", "pydantic", "matplotlib", "ray"}


def test_every_public_name_can_be_had() -> None:
    for name in vitas_hw.__all__:
        assert getattr(vitas_hw, name) is not None
    assert set(vitas_hw.__all__) <= set(dir(vitas_hw))


def test_no_room_hides_a_public_function() -> None:
    rooms = {path.name for path in PACKAGE.iterdir()}
    assert not rooms & set(vitas_hw.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        vitas_hw.nonsense  # noqa: B018
