"""Imports go down only, and `import vitas_hw` stays light (docs/design.md, Layers)."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path

import pytest

import vitas_hw

PACKAGE = Path(vitas_hw.__file__).parent
MEASURING = {"export", "supernet"}  # a profiling writes ONNX graphs and builds plain models
ROOMS = {"data", "supernet", "predictors", "searching", "training", "export", "profiling"}
MAY_IMPORT: dict[str, set[str]] = {  # room: what it may import besides itself
    "core": set(),
    "data": {"core"},
    "supernet": {"core"},
    "predictors": {"core"},
    "searching": {"core"},
    "training": {"core", "data", "supernet"},
    "export": {"core", "supernet"},
    "profiling": {"core"} | MEASURING,
    "cluster": {"core", "searching", "profiling"},
    "runs": {"core"} | ROOMS,
    "report": {"core", "runs"} | ROOMS,
    "workflows": {"core", "cluster", "runs", "report"} | ROOMS,
    "api": {"core", "cluster", "runs", "report", "workflows"} | ROOMS,
    "cli": {"core", "cluster", "runs", "report", "workflows"} | ROOMS,
}
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
        assert here == "" or there == here or there in MAY_IMPORT[here], f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) == "core"], ids=lambda path: path.name)
def test_the_core_needs_only_numpy(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    asked_for = {"pandas"} if path.name == "tables.py" else set()  # imported by who asks for a data frame of it
    assert roots <= set(sys.stdlib_module_names) | {"numpy", "vitas_hw"} | asked_for


def test_every_room_is_in_the_table() -> None:
    assert {room(path) for path in FILES} == set(MAY_IMPORT) | {""}


def lines_of_code(path: Path) -> int:
    """Lines without blank ones, comments and docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type not in layout:
            found.update(range(token.start[0], token.end[0] + 1))
    return len(found - docstrings)


WALKS = {"A subnet to its ONNX file": 15, "A latency budget to the choice": 12, "A folder to a batch": 8}


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_is_short_and_as_the_design_says(walk: str) -> None:
    """docs/design.md names its files; each but the first is imported by an earlier or later one of them."""
    design = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    told = design[design.index(f"- **{walk}**") :].split("\n- **")[0].split("(Beside")[0].split("\n\n")[0]
    files = re.findall(r"`([a-z_0-9/]+)`", told)
    assert len(files) == len(set(files)) <= WALKS[walk]
    modules = {"vitas_hw." + name.replace("/", "."): PACKAGE / f"{name}.py" for name in files}
    assert [name for name, path in modules.items() if not path.exists()] == []
    reached = {name for path in modules.values() for name in imports(path)}
    assert [name for name in [*modules][1:] if name not in reached and name != "vitas_hw.training.trainer"] == []


def test_no_room_is_too_large() -> None:
    """A room has at most 20% of the package's lines, a folder at most 25 files."""
    lines = Counter[str]()
    for path in FILES:
        lines[room(path)] += lines_of_code(path)
    assert {name: count for name, count in lines.items() if count > 0.2 * lines.total()} == {}
    assert [folder for folder, count in Counter(path.parent for path in FILES).items() if count > 25] == []


def test_no_file_is_too_long() -> None:
    assert [str(path) for path in FILES if len(path.read_text().splitlines()) > 400] == []


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


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "runs .",
        "runs tests/older_files/v1",
        "search --nonsense",
        "train --epochs 0",
        "spaces nope",
    ],
)
def test_help_refusals_and_lists_load_nothing_heavy(words: str) -> None:
    start = "import io, sys\nfrom vitas_hw.cli.main import main\nout, sys.stdout = sys.stdout, io.StringIO()"
    loaded = loaded_by(f"{start}\nmain({words.split()})\nsys.stdout = out")
    assert "vitas_hw" in loaded
    heavy = {"torch", "pandas", "scipy", "sklearn", "timm", "xgboost", "ray", "onnxruntime", "matplotlib"}
    assert not loaded & heavy


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
