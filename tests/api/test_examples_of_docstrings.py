"""Every public name has an example in its docstring, and it runs, in a folder with photos, a space and a small run."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType

import pytest
from shapes import write_shapes
from small_space import SMALL_SPACE

import vitas_hw as vh

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OLD = Path(__file__).parents[1] / "older_files" / "v1"
MOST_SKIPPED = 6  # of all examples: what needs minutes, a network or pandas
_SKIP = re.compile(r"^.*# doctest: \+SKIP$", re.MULTILINE)


def public() -> Iterator[tuple[str, object]]:
    for name in vh.__all__:
        value = getattr(vh, name)
        yield name, value
        if isinstance(value, ModuleType):
            ours = {key: one for key, one in vars(value).items() if getattr(one, "__module__", "") == value.__name__}
            yield from ((f"{name}.{key}", one) for key, one in ours.items() if not key.startswith("_"))


def members() -> Iterator[tuple[str, object]]:
    for name, value in public():
        if inspect.isclass(value):
            for key, one in vars(value).items():
                kinds = (property, cached_property, classmethod, staticmethod)
                if not key.startswith("_") and (inspect.isfunction(one) or isinstance(one, kinds)):
                    yield f"{name}.{key}", one


NAMES = dict(public())
METHODS = dict(members())
STEPS = [name for name in METHODS if name.startswith("Run.") and inspect.isfunction(METHODS[name])]
WITH_EXAMPLES = {name: one for name, one in (NAMES | METHODS).items() if ">>> " in (inspect.getdoc(one) or "")}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("materials")
    write_shapes(folder / "photos", 12)
    (folder / "small.yaml").write_text(SMALL_SPACE)
    shutil.copytree(OLD / "run", folder / "runs/digits")
    shutil.copy(OLD / "predictor-linear.json", folder / "predictor.json")
    shutil.copy(OLD / "profile.jsonl", folder / "profile.jsonl")
    return folder


def test_every_public_name_and_step_has_an_example() -> None:
    assert [name for name in (*NAMES, *STEPS) if name not in WITH_EXAMPLES] == []


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_example_runs(name: str, materials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(materials, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(WITH_EXAMPLES[name]) or ""
    example = doctest.DocTestParser().get_doctest(text, {"vh": vh}, name, None, None)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert said == []


def test_few_are_skipped_each_with_a_reason() -> None:
    skipped = {line for one in WITH_EXAMPLES.values() for line in _SKIP.findall(inspect.getdoc(one) or "")}
    assert 0 < len(skipped) <= MOST_SKIPPED
    assert [line for line in skipped if not re.search(r"  # \w.*  # doctest", line)] == []
