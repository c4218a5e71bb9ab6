"""Time that is up, and Ctrl-C, where subnets are evaluated or compared: what was done by then is shown."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from fake_place import HARDWARE, find_place

from vitas_hw.cli.main import main
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.progress import Silent
from vitas_hw.profiling.worker import Worker
from vitas_hw.runs.directory import Run
from vitas_hw.training import evaluate as accuracies
from vitas_hw.workflows import compare as comparing
from vitas_hw.workflows.compare import CompareSettings, compare
from vitas_hw.workflows.evaluate import EvaluateSettings, evaluate

OLD = Path(__file__).parents[1] / "older_files/v1/run"
CPU = EvaluateSettings(device="cpu", random=2)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(HARDWARE, "fit")
    monkeypatch.setattr(comparing, "find_place", find_place)
    return Run(Path(shutil.copytree(OLD, tmp_path / "run")))


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def after(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, calls: int, then: Callable[[], object]) -> list[int]:
    """Counts the calls of something, and does something after so many."""
    made, real = list[int](), getattr(where, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = real(*args, **kwargs)
        made.append(1)
        if len(made) == calls:
            then()
        return found

    monkeypatch.setattr(where, name, counted)
    return made


def test_an_evaluation_ends_in_time_with_what_was_evaluated(
    run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(run, ["smallest"], CPU)
    assert None not in [row.accuracy for row in whole]
    notes = Notes()
    made = after(monkeypatch, accuracies, "subnet_accuracy", 2, lambda: setattr(clock, "at", clock.at + 3600))
    settings = EvaluateSettings(device="cpu", random=2, max_time_s=600.0)
    cut = evaluate(run, ["smallest"], settings, progress=notes)
    assert len(made) == 2
    assert cut[:2] == whole[:2]
    assert (cut[2].subnet, cut[2].accuracy) == (whole[2].subnet, None)
    assert notes.said == ["time is up: 2 of 3 subnets evaluated"]
    with pytest.raises(TimeIsUpError, match=r"^Time is up before a subnet was evaluated\."):
        evaluate(run, ["smallest"], CPU, deadline=Deadline(0.0))


def test_a_comparison_ends_in_time_with_what_was_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words, notes, deadline = ["smallest", "choice", "largest"], Notes(), Deadline()
    whole = compare(run, words, CompareSettings(rounds=2))
    assert whole.whole
    made = after(monkeypatch, Worker, "visit", 2, lambda: deadline.signals.append(signal.SIGTERM))
    cut = compare(run, words, CompareSettings(rounds=2), deadline=deadline, progress=notes)
    assert len(made) == 2
    assert not cut.whole
    assert notes.said == ["time is up: 2 of 6 visits made, 3 of 3 subnets looked at for a top-1"]
    known = [row.p50_ms for row in cut.rows]
    assert known.count(None) == 1
    assert [row.p50_ms for row in whole.rows if row.p50_ms in known] == [ms for ms in known if ms is not None]
    assert [(row.top1, row.failed) for row in cut.rows] == [(row.top1, row.failed) for row in whole.rows]
    with pytest.raises(TimeIsUpError, match="before the subnets were measured"):
        compare(run, words, CompareSettings(), deadline=Deadline(0.0))


def test_accuracy_leaves_the_most_of_the_time_to_latencies(
    run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    after(monkeypatch, accuracies, "accuracy", 1, lambda: setattr(clock, "at", clock.at + 31.0))
    found = compare(run, ["choice", "smallest"], CompareSettings(rounds=1, max_time_s=100.0), progress=notes)
    assert [row.top1 is None for row in found.rows] == [False, True]
    assert None not in [row.p50_ms for row in found.rows]
    assert not found.whole
    assert notes.said == ["time is up: 2 of 2 visits made, 1 of 2 subnets looked at for a top-1"]


@pytest.mark.parametrize(
    ("words", "where", "name", "column"),
    [
        (["evaluate", "--device", "cpu"], accuracies, "subnet_accuracy", "top1"),
        (["compare", "--rounds", "1"], Worker, "visit", "p50_ms"),
    ],
    ids=["evaluate", "compare"],
)
def test_ctrl_c_shows_what_was_done(
    words: list[str],
    where: Any,
    name: str,
    column: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = after(monkeypatch, where, name, 1, lambda: signal.raise_signal(signal.SIGINT))
    words = [*words, "smallest", "largest", "--run", str(run.path)]
    assert main([*words, "--json"]) == 130
    printed, said = capsys.readouterr()
    rows = json.loads(printed)["rows"]  # one object, not the interruption after it
    assert sorted(row[column] is None for row in rows) == [False, True]
    assert "Interrupted. No half-written file is left" in said
    made.clear()
    assert main(words) == 130
    printed, said = capsys.readouterr()
    assert len(made) == 1
    assert " - " in printed
    assert "time is up: 1 of 2" in said


def test_ctrl_c_before_anything_was_done_is_no_lack_of_time(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vitas_hw.workflows import evaluate as evaluating

    after(monkeypatch, evaluating, "load_run_supernet", 1, lambda: signal.raise_signal(signal.SIGINT))
    assert main(["evaluate", "smallest", "--device", "cpu", "--run", str(run.path), "--json"]) == 130
    printed, said = capsys.readouterr()
    assert json.loads(printed)["error"]["status"] == 130
    assert "Time is up" not in said
