"""No example and no Python block of a page imports from inside the package; what needs no net loads none."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vitas_hw as vh

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*/README.md"))]
SCRIPTS = [*sorted((ROOT / "examples").glob("*.py")), *sorted((ROOT / "examples").glob("*.ipynb"))]


def blocks(path: Path) -> list[str]:
    """The Python that stands in a page, a script or a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [text]
    if path.suffix == ".ipynb":
        return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def from_inside(block: str) -> list[str]:
    """What a block imports from inside the package, and the names of ``vh`` that are none."""
    tree, found = ast.parse(block), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("vitas_hw.")]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vitas_hw":
            found.append(str(node.module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vh":
            found += [] if node.attr in vh.__all__ else [f"vh.{node.attr}"]
    return found


def test_what_comes_from_inside_is_found() -> None:
    assert from_inside("import vitas_hw.core.space") == ["vitas_hw.core.space"]
    assert from_inside("from vitas_hw.core import space") == ["vitas_hw.core"]
    assert from_inside("import vitas_hw as vh\nvh.core.space") == ["vh.core"]
    assert from_inside("import vitas_hw as vh\nvh.Run('x').train()") == []


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_block_imports_from_inside(path: Path) -> None:
    assert [name for block in blocks(path) for name in from_inside(block)] == []


def test_there_are_such_blocks() -> None:
    assert sum(len(blocks(path)) for path in PAGES) >= 5
    assert all("import vitas_hw as vh" in "\n".join(blocks(path)) for path in SCRIPTS)


@pytest.mark.parametrize(
    "code",
    [
        "vh.Run('runs/none').space",
        "vh.Run('tests/older_files/v1/run').found.best.params",
        "vh.Run('tests/older_files/v1/run').found._repr_html_()",
        "vh.optimizers.NSGA2(population=50)",
        "help(vh.Run.search)",
        "dir(vh)",
    ],
)
def test_what_needs_no_net_loads_none(code: str) -> None:
    printed = f"import vitas_hw as vh, sys\n{code}\nprint()\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", printed], check=True, capture_output=True, text=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "vitas_hw" in loaded
    assert not loaded & {"torch", "timm", "xgboost", "pandas", "sklearn", "pymoo", "onnx", "onnxruntime", "ray"}
