"""Dataclasses as JSON and back: what a stranger's JSON may not be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.records import content, each_line, from_json, to_json


@dataclass(frozen=True)
class Leaf:
    size: int
    share: float | None = None


@dataclass(frozen=True)
class Tree:
    name: Literal["oak", "elm"]
    leaves: tuple[Leaf, ...]
    pair: tuple[int, int]
    counts: dict[str, int | float]
    tall: bool = False


GOOD = {"name": "oak", "leaves": [{"size": 1, "share": 2}], "pair": [1, 2], "counts": {"a": 1, "b": 0.5}}


def test_it_comes_back() -> None:
    tree = from_json(Tree, GOOD)
    assert tree == Tree("oak", (Leaf(1, 2.0),), (1, 2), {"a": 1, "b": 0.5})
    assert type(tree.leaves[0].share) is float
    assert type(tree.counts["a"]) is int
    assert from_json(Tree, to_json(tree)) == tree


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "ash"}, "name must be 'oak' or 'elm', not 'ash'."),
        ({"leaves": {}}, "leaves must be a list, not {}."),
        ({"leaves": [{"size": True}]}, "leaves.0.size must be a whole number, not True."),
        ({"leaves": [{"size": 1, "share": float("nan")}]}, "leaves.0.share must be a finite number, not nan."),
        ({"leaves": [{"share": 1.0}]}, "leaves.0 has exactly the fields size, [share]; given: share."),
        (
            {"leaves": [{"size": 1, "colour": "red"}]},
            "leaves.0 has exactly the fields size, [share]; given: size, colo",
        ),
        ({"pair": [1]}, "pair must be a list of 2, not [1]."),
        ({"counts": {"a": "1"}}, "counts.a must be a whole number, not '1'."),
        ({"counts": []}, "counts must be an object, not []."),
        ({"tall": 1}, "tall must be true or false, not 1."),
        ({"name": None}, "name must be 'oak' or 'elm', not None."),
    ],
)
def test_the_field_at_fault_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        from_json(Tree, GOOD | change)
    assert said in caught.value.problem


@pytest.mark.parametrize("data", [{}, {"schema": 2, "kind": "tree"}, {"schema": True, "kind": "tree"}, {"schema": 1}])
def test_another_schema_or_kind_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^It is of kind .* and schema .*, not 'tree' and 1\.$"):
        content(data, 1, "tree")
    assert content({"schema": 1, "kind": "tree", "a": 2}, 1, "tree") == {"a": 2}


@pytest.mark.parametrize("line", ["[]", "nonsense", "{}", '{"a": "x"}'])
def test_a_broken_line_is_named(line: str) -> None:
    with pytest.raises(FileError, match=r"^f, line 2, is broken: "):
        each_line(Path("f"), ['{"a": 1}', line], lambda data: from_json(int, data["a"], "a"))
