"""What stands outside the rooms takes their names from them, not from their files, and a room loads them lazily."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import vitas_hw
from vitas_hw import core
from vitas_hw.core import budget

PACKAGE = Path(vitas_hw.__file__).parent
ROOMS = ["core", "data", "export", "predictors", "profiling", "report", "runs", "searching", "supernet", "training"]
PACKAGES = ["vitas_hw", *(f"vitas_hw.{room}" for room in ROOMS)]
OUTSIDE = [
    PACKAGE / "__init__.py",
    *sorted((PACKAGE / "api").glob("*.py")),
    *sorted((PACKAGE.parent / "examples").rglob("*.py")),
    *sorted((PACKAGE.parent / "benchmarks").rglob("*.py")),
]


def imported(path: Path) -> set[tuple[str, str]]:
    """Module and name of every import of a name."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "", alias.name) for node in nodes for alias in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_room_has_what_it_says_to_type_checkers(name: str) -> None:
    room = import_module(name)
    assert room.__file__ is not None
    told = {(home, one) for home, one in imported(Path(room.__file__)) if home.startswith(name + ".")}
    told.discard(("vitas_hw.core.lazy", "lazily"))
    assert sorted(one for _, one in told) == room.__all__
    assert set(room.__all__) <= set(dir(room))
    for home, one in told:
        there = import_module(home)
        assert getattr(room, one) is (getattr(there, one) if hasattr(there, one) else import_module(f"{home}.{one}"))


@pytest.mark.parametrize("name", PACKAGES)
def test_no_file_of_a_room_hides_a_name(name: str) -> None:
    """A module becomes an attribute of its package when it is loaded."""
    room = import_module(name)
    assert room.__file__ is not None
    files = {path.stem for path in Path(room.__file__).parent.iterdir()}
    assert files & set(room.__all__) == set()


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_who_is_outside_names_the_room(path: Path) -> None:
    public = {room: set(import_module(f"vitas_hw.{room}").__all__) for room in ROOMS}
    past = [
        f"from {module} import {name}"
        for module, name in sorted(imported(path))
        if module.startswith("vitas_hw.") and module.count(".") > 1 and name in public.get(module.split(".")[1], ())
    ]
    assert past == []
    for module, name in imported(path):
        if module.removeprefix("vitas_hw.") in ROOMS:
            assert hasattr(import_module(module), name) or import_module(f"{module}.{name}")


def test_rooms_load_nothing_heavy_before_a_name_is_used() -> None:
    code = f"import sys, {', '.join(PACKAGES)}\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    loaded = output.split()
    assert "vitas_hw.training" in loaded
    assert not {one.split(".")[0] for one in loaded} & {"numpy", "torch", "timm", "pydantic", "xgboost", "ray", "onnx"}
    assert not [
        one for one in loaded if one.count(".") > 1 and one.startswith("vitas_hw.") and one != "vitas_hw.core.lazy"
    ]


def test_a_name_is_asked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "Budget", "another")
    assert core.Budget == "another"
    with pytest.raises(AttributeError, match=r"module 'vitas_hw\.core' has no attribute 'nonsense'"):
        core.nonsense  # type: ignore[attr-defined]  # noqa: B018
