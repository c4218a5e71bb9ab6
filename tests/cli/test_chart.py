"""The small chart of a search on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vitas_hw.cli import console
from vitas_hw.cli.terminal.chart import HEIGHT, Dots, chart

SEEN = [(1.0, 0.80), (1.5, 0.85), (1.6, 0.82), (2.0, 0.95)]


def test_each_subnet_is_where_its_numbers_say() -> None:
    lines = chart(Dots(SEEN, (2.0, 0.95), 2.5))
    plane = [line[8:] for line in lines[1 : HEIGHT + 1]]
    assert lines[1].startswith(" 95.0% |")
    assert lines[HEIGHT].startswith(" 80.0% |o")  # the fastest is on the front
    assert plane[0].rstrip("|").rstrip().endswith("*")
    assert all(line.endswith("|") for line in plane)  # the budget is the slowest of all
    assert sum(line.count("o") for line in plane) == 2
    assert sum(line.count(".") for line in plane) == 1  # slower than one that is better
    assert lines[-3].split() == ["1", "ms", "2.5", "ms"]
    assert [line.strip() for line in lines[-2:]] == [". subnet  o on the front  | budget", "* choice"]


def test_one_subnet_alone_is_drawn_too() -> None:
    lines = chart(Dots([], (1.0, 0.5)))
    assert sum(line.count("*") for line in lines[:-2]) == 1
    assert "budget" not in lines[-2]


def test_what_a_choice_inherits_stands_below_what_its_fine_tuning_made_of_it() -> None:
    lines = chart(Dots(SEEN, (1.6, 0.82), 2.5, 0.99))
    columns = ["".join(column) for column in zip(*(line.ljust(60) for line in lines[1 : HEIGHT + 1]), strict=True)]
    (column,) = [column for column in columns if "x" in column]
    assert column.strip("-| ") == "*" + ":" * (HEIGHT - 3) + "x"  # from the top to the row above the lowest
    assert lines[1].startswith(" 99.0% |")
    assert lines[-1].strip() == "x choice, inherited  * choice, fine-tuned"


@pytest.mark.parametrize(("width", "terminal", "drawn"), [(160, True, True), (90, True, False), (160, False, False)])
def test_it_stands_beside_the_table_where_there_is_room(
    width: int, terminal: bool, drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(console, "OUT", Console(file=out, width=width, force_terminal=terminal, soft_wrap=True))
    console.table("Finalists", ["subnet", "loss"], [["a" * 60, "0.1"]], chart(Dots(SEEN, (2.0, 0.95), 2.5)))
    said = out.getvalue()
    assert "a" * 60 in said
    assert ("top-1" in said) == drawn
