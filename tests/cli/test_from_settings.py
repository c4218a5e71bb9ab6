"""A command's options are made of its settings, and its errors are in the words of those options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import typer
import typer.main

from vitas_hw.cli import main as entry
from vitas_hw.cli.from_settings import FLAGS, flag, in_options, takes
from vitas_hw.core.budget import parse_duration
from vitas_hw.core.errors import InputError
from vitas_hw.core.settings import setting, settings


@settings
class Bake:
    heat: int | None = setting(default=None, help="Degrees.", group="Recipe", at_least=1)
    anchor_ms: float = setting(default=1.5, help="One round.", above=0)
    max_time_s: float | None = setting(default=None, help="Stop in time.", reads=parse_duration)
    layers: tuple[str, ...] = setting(default=("cream",), help="From below.")
    loud: bool = setting(default=False, help="Say so, not with `max_time_s=3`.")
    left_out: int = setting(default=5, help="The command fills it.")
    inner: str = "no option"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command ``bake`` was called with; it is the only command of the entry point."""
    calls: list[Any] = []
    app = typer.Typer()

    @app.command("bake")
    @takes(Bake, leave_out=("left_out",))
    def bake(
        settings: Callable[..., Bake], name: Annotated[str, typer.Option("--name")] = "x", as_json: bool = False
    ) -> None:
        """Bake.

        Example: vitas-hw bake
        """
        calls.append((settings(inner="filled"), name, as_json))

    @app.command("other")
    def other() -> None:
        """A second one, so that the first keeps its name."""

    monkeypatch.setattr(entry, "program", lambda _: app)
    return calls


def options() -> dict[str, Any]:
    (command,) = [one for one in entry.program(()).registered_commands if one.name == "bake"]
    assert command.callback is not None
    return {one.opts[0]: one for one in typer.main.get_command(entry.program(())).commands["bake"].params}  # type: ignore[attr-defined]


def test_each_setting_is_an_option_and_the_commands_own_follow(made: list[Any]) -> None:
    assert made == []
    found = options()
    assert list(found) == ["--heat", "--anchor", "--max-time", "--layers", "--loud", "--name", "--as-json"]
    assert (found["--heat"].help, found["--heat"].rich_help_panel, found["--heat"].metavar) == (
        "Degrees.",
        "Recipe",
        "INT",
    )
    assert found["--anchor"].rich_help_panel is None
    assert found["--loud"].help == "Say so, not with --max-time 3."  # as in errors, settings are written as options
    assert found["--loud"].secondary_opts == []
    assert found["--anchor"].default == 1.5


def test_what_is_not_typed_has_its_default(made: list[Any]) -> None:
    assert entry.main(["bake"]) == 0
    assert made == [(Bake(inner="filled"), "x", False)]


def test_what_is_typed_is_read(made: list[Any]) -> None:
    words = "--heat 180 --anchor 2 --max-time 2m --layers jam --layers nuts --loud --name pie"
    assert entry.main(["bake", *words.split()]) == 0
    expected = Bake(heat=180, anchor_ms=2.0, max_time_s=120.0, layers=("jam", "nuts"), loud=True, inner="filled")
    assert made == [(expected, "pie", False)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--heat 0", ["Error: --heat must be at least 1, not 0."]),
        ("--anchor 0", ["Error: --anchor must be above 0, not 0.0."]),
        ("--max-time soon", ["Error: --max-time: Invalid duration 'soon'; use for example 90s, 30m, 8h."]),
        ("--heat warm", ["Error: Invalid value for '--heat'", "See: vitas-hw bake --help"]),
        ("--left-out 3", ["Error: No such option: --left-out", "See: vitas-hw bake --help"]),
    ],
)
def test_a_wrong_value_is_answered_in_the_options_words(
    words: str, said: list[str], made: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(["bake", *words.split()]) == 2
    printed = capsys.readouterr()
    assert made == []
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(part) for line, part in zip(lines, said, strict=True))


def test_names_become_options() -> None:
    assert [flag(name) for name in ("epochs", "batch_size", "max_time_s", "latency_ms")] == [
        "--epochs",
        "--batch-size",
        "--max-time",
        "--latency",
    ]
    assert {name: flag(name) for name in FLAGS} == FLAGS


def test_errors_are_in_options_and_name_the_command_of_a_missing_step() -> None:
    error = InputError("`old` needs `macs=1M`.", "Try `max_time_s=90s`.")
    assert in_options(error) == ("--from needs --flops 1M.", "Try --max-time 90s.")
    assert in_options(InputError("There is none.", step="profile")) == ("There is none.", "Run: vitas-hw profile")
    assert in_options(InputError("There is none.")) == ("There is none.", "")


def test_a_setting_without_a_default_cannot_be_an_option() -> None:
    @settings
    class Needs:
        size: int = setting(help="No default.")

    with pytest.raises(AssertionError):
        takes(Needs)
