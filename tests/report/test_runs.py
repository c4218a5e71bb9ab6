"""The list of runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from vitas_hw.cli.main import main
from vitas_hw.core.space import SearchSpace
from vitas_hw.report.runs import list_runs
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult


@pytest.fixture
def folder(tmp_path: Path, whole: tuple[Run, SearchResult], small: SearchSpace) -> Path:
    """A finished run, one that was only begun, a broken one, and a folder that is none."""
    (tmp_path / "done").symlink_to(whole[0].path)
    Run(tmp_path / "begun").begin(small)
    (tmp_path / "begun/training.pt").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("{")
    (tmp_path / "other").mkdir()
    return tmp_path


def test_each_run_tells_its_step_and_its_choice(folder: Path, whole: tuple[Run, SearchResult]) -> None:
    done, *rest = list_runs(folder)
    begun, broken = sorted(rest, key=lambda run: run.step)
    result = whole[1]
    assert (done.step, done.space, done.target) == ("exported", "small", "made-up-onnxruntime-fp32-b1-t1-i32")
    assert (done.top1, done.top1_split) == (0.9611, "test")
    assert done.budget == str(result.budget)
    assert done.latency_ms == pytest.approx(result.measured_ms[result.choice.subnet.digest])
    assert done.latency_measured
    assert done.age_s is not None
    assert done.age_s < 600
    assert [command.split()[1] for command in done.commands] == ["profile", "train", "search", "export"]
    assert (begun.step, begun.unfinished, begun.top1) == ("begun", ("training",), None)
    assert broken.step == "broken"
    assert "is not a run's manifest" in str(broken.problem)


def test_the_command_lists_them_for_people_and_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert {Path(row["path"]).name for row in rows} == {"done", "begun", "broken"}
    assert main(["runs", str(folder)]) == 0
    printed = capsys.readouterr()
    assert "96.1%" in printed.out
    assert "is not a run's manifest" in printed.err


def test_no_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == 0
    assert "There is no run" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize(
    "change", [{"history": [{"epoch": 1, "loss": {}}]}, {"history": 3}, {"top1": "high"}, {"recipe": [1]}]
)
def test_a_training_file_of_another_form_is_told_by_name(
    change: dict[str, Any], whole: tuple[Run, SearchResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Run(tmp_path / "copy")
    shutil.copytree(whole[0].path, copy.path)
    copy.training.write_text(json.dumps(json.loads(copy.training.read_text()) | change))
    assert main(["report", "--run", str(copy.path)]) == 2
    said = capsys.readouterr().err
    assert f"{copy.training} is broken" in said
