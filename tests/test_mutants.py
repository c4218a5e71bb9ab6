"""The counting of killed mutants: what it changes, and that it tells a suite that notices from one that does not."""

from __future__ import annotations

import ast
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from mutants import ROOMS, choose, kill, mutants_of, reach

PACKAGE = Path(__file__).parent.parent / "vitas_hw"


def test_sixty_are_drawn_as_many_from_each_room_and_always_the_same() -> None:
    found = choose(PACKAGE, 0, 60)
    assert found == choose(PACKAGE, 0, 60)
    assert found != choose(PACKAGE, 1, 60)
    assert Counter(one.file.split("/")[1] for one in found) == dict.fromkeys(ROOMS, 6)
    assert len({(one.file, one.start[0]) for one in found}) == 60
    for one in found:
        right = (PACKAGE.parent / one.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(one.applied(right))) != ast.dump(ast.parse(right))


def test_one_is_killed_by_a_test_that_notices_and_survives_others(tmp_path: Path) -> None:
    (tmp_path / "vitas_hw").mkdir()
    (tmp_path / "vitas_hw/__init__.py").write_text("")
    module = tmp_path / "vitas_hw/sums.py"
    module.write_text("def larger(a, b):\n    return a if a > b else b\n\n\ndef unused(a):\n    return a + 1\n")
    suites = {"sharp": "assert larger(1, 2) == 2", "blunt": "larger(1, 2)"}
    known = list(mutants_of(module, "vitas_hw/sums.py"))
    assert [(one.old, one.new) for one in known] == [
        ("a if a > b else b", "(b if a > b else a)"),
        ("a > b", "(a >= b)"),
        ("a + 1", "(a - 1)"),
        ("1", "(2)"),
    ]
    (tmp_path / "mutants.json").write_text(json.dumps([asdict(known[0]), asdict(known[2])]))
    for name, line in suites.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "test_sums.py").write_text(f"from vitas_hw.sums import larger\n\n\ndef test_larger():\n    {line}\n")
        reach(tmp_path / f"{name}.db", tmp_path, folder)
        kill(tmp_path / "mutants.json", tmp_path / f"{name}.db", tmp_path / f"{name}.jsonl", tmp_path, folder)
    found = {name: (tmp_path / f"{name}.jsonl").read_text().splitlines() for name in suites}
    rows = {name: [json.loads(line) for line in lines] for name, lines in found.items()}
    assert [row["killed"] for row in rows["sharp"]] == [True, False]  # nothing reaches the second
    assert [row["killed"] for row in rows["blunt"]] == [False, False]
    assert [row["files"] for row in rows["blunt"]] == [1, 0]
