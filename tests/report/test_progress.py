"""Plain lines where stderr is no terminal: what is done, how far it is, when it ends; a long part is told of too."""

from __future__ import annotations

import io
import threading
import time
from types import SimpleNamespace

import pytest
from clocks import Clock
from rich.console import Console

from vitas_hw.report import progress
from vitas_hw.report.progress import Reporter


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PLAIN_AFTER_S", 0.01)
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.01)


def test_a_part_that_takes_long_is_told_of_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""
    with Reporter().step("fitting", 2) as advance:
        while "fitting: 0/2, 0 s so far.\n" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        advance("half")
        while "fitting: 1/2, 0 s left. half\n" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        advance("")
    assert "fitting: 2/2, 0 s left. half\n" in capsys.readouterr().err + said
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_an_error_ends_the_lines() -> None:
    def fails() -> None:
        with Reporter().step("fitting", 2):
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_a_brief_step_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_PLAIN_AFTER_S", 60.0)
    with Reporter().step("loading", 1) as advance:
        advance("")
    assert capsys.readouterr().err == ""


def test_what_was_done_earlier_is_counted_but_took_no_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, said = Clock(0.0), ""
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
    with Reporter().step("training", 100, 80) as advance:
        while "training: 80/100, 0 s so far.\n" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
        clock.at = 8.0
        advance("")
        advance("epoch 9")
        while "training: 82/100, 72 s left. epoch 9\n" not in said:
            said += capsys.readouterr().err
            time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize(
    ("columns", "shown"), [(80, "1190/1190 0:00:00 epoch 70 o…"), (160, "0:00:00 0:00:00 epoch 70 of 70, loss 0.591")]
)
def test_on_a_narrow_terminal_the_words_give_way_and_not_the_bar(
    columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=columns, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr(progress, "ERR", console)
    with Reporter().step("[2/4] training the supernet on digits", 1190, 1189) as advance:
        advance("epoch 70 of 70, loss 0.591, 221 images/s")
    last = [line for line in out.getvalue().splitlines() if "training" in line][-1]
    assert shown in last
    assert "━" * 12 in last


def test_a_note_is_not_broken_within_a_word_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, width=30, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr(progress, "ERR", console)
    Reporter().note("too few CPUs are free for [one] thread")
    assert out.getvalue().splitlines() == ["too few CPUs are free for ", "[one] thread"]
    plain = Console(file=(out := io.StringIO()), width=30, soft_wrap=True)
    monkeypatch.setattr(progress, "ERR", plain)
    Reporter().note("too few CPUs are free for [one] thread")
    assert out.getvalue() == "too few CPUs are free for [one] thread\n"


def test_a_step_of_nothing_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(progress, "ERR", Console(file=out, width=80, force_terminal=True))
    with Reporter().step("checking the images", 0) as advance:
        advance("")
    assert out.getvalue() == ""
