"""Plain lines where stderr is no terminal: what is done, how far it is, when it ends; a long part is told of too."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from clocks import Clock

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
