"""Each command's help fits one screen, shows an example, and has few options in sight."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main

from vitas_hw.cli.main import main, program

COMMANDS = typer.main.get_command(program()).commands  # type: ignore[attr-defined]
LINES = 45
IN_SIGHT = 10


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")


@pytest.mark.parametrize("name", COMMANDS)
def test_it_fits_one_screen_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= LINES
    assert sum(f"Example: vitas-hw {name}" in line for line in lines) == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_at_most_ten_options_are_in_sight(name: str) -> None:
    options = [one for one in COMMANDS[name].params if one.param_type_name == "option"]
    in_sight = [one for one in options if one.rich_help_panel is None and not one.hidden]
    assert len(in_sight) + 1 <= IN_SIGHT  # --help itself
    for one in options:
        assert one.help, f"{name} {one.opts[0]} says nothing of itself"


def test_the_list_of_commands_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert all(any(name in line for line in lines) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_no_help_lists_is_told_of_in_the_docs(name: str) -> None:
    page = (Path(__file__).parents[2] / "docs/how-it-works.md").read_text()
    hidden = [one.opts[0] for one in COMMANDS[name].params if getattr(one, "hidden", False)]
    assert [option for option in hidden if f"`{option} " not in page] == []
