"""Subnets beside each other on several targets: measured where the target is here, predicted elsewhere, and said so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from clocks import Clock
from fake_place import HARDWARE, FakePlace

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.deadline import Deadline
from vitas_hw.core.progress import Silent
from vitas_hw.core.target import Target
from vitas_hw.profiling.worker import Worker
from vitas_hw.runs.directory import Run
from vitas_hw.workflows import compare as comparing
from vitas_hw.workflows.compare import CompareSettings, compare

DATA = Path(__file__).parents[1] / "older_files/v1"
OLD, NEW = str(DATA / "predictor-linear.json"), str(DATA / "predictor-transfer.json")
OLD_BOX = "old-box-onnxruntime-fp32-b1-t1-i32"
NEW_BOX = "new-box-onnxruntime-fp32-b1-t1-i32"
SHIPPED = "amd-epyc-zen3-onnxruntime-fp32-b1-t1-i224--vitas-deit-tiny"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A searched run, on a machine that is the old box."""
    monkeypatch.setenv(HARDWARE, "fit")
    here_is(monkeypatch, "old-box")
    return Run(Path(shutil.copytree(DATA / "run", tmp_path / "run")))


def here_is(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def place_of(target: Target, _: str) -> FakePlace | None:
        return FakePlace(target, "cpu", "fit") if target.device_name in names else None

    monkeypatch.setattr(comparing, "place_of", place_of)


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_each_target_has_its_latency_measured_here_and_predicted_elsewhere(run: Run) -> None:
    words = ["smallest", "choice", "largest"]
    found = compare(run, words, CompareSettings(predictors=(OLD, NEW), rounds=2))
    assert [one.slug for one in found.targets] == [OLD_BOX, NEW_BOX]
    assert [row.name for row in found.rows] == words
    expected = vh.load_predictor(NEW).predict([row.subnet for row in found.rows])
    for row, ms, lower, upper in zip(
        found.rows, expected.latency_ms, expected.lower_ms, expected.upper_ms, strict=True
    ):
        here, there = row.latencies
        assert (here.how, there.how) == ("measured", "predicted")
        assert here.ms == pytest.approx(row.subnet.macs / 1e6)  # as the made-up runtime has it
        assert (there.ms, there.lower_ms, there.upper_ms) == (ms, lower, upper)
        assert (row.p50_ms, row.p90_ms) == (here.ms, here.p90_ms)
        assert row.top1 is not None
    other_way = compare(run, words, CompareSettings(predictors=(NEW, OLD), rounds=2))
    assert [row.latencies[::-1] for row in other_way.rows] == [row.latencies for row in found.rows]
    assert {row.p50_ms for row in other_way.rows} == {None}  # nothing is measured on the first target


def test_python_has_a_column_for_each_target(run: Run) -> None:
    compared = vh.Run(run.path, progress=False).compare("choice", predictors=[Path(OLD), NEW], rounds=1)
    (row,) = compared.to_dicts()
    assert [*row] == ["name", f"{OLD_BOX} measured_ms", f"{NEW_BOX} predicted_ms", "top1", "macs", "params", "failed"]
    assert "On 2 targets" in compared._repr_html_()
    alone = vh.Run(run.path, progress=False).compare(["choice", "smallest"], predictors=OLD, rounds=1)
    assert [*alone.to_dicts()[0]][:3] == ["name", "p50_ms", "p90_ms"]
    assert alone.title == f"On {OLD_BOX}"


def test_a_predictor_of_the_run_is_known_by_its_name(run: Run) -> None:
    run.predictors.mkdir()
    shutil.copy(NEW, run.predictors / "mine.json")
    (row,) = compare(run, ["smallest"], CompareSettings(predictors=("mine", OLD), rounds=1)).rows
    assert [one.target.device_name for one in row.latencies] == ["new-box", "old-box"]


def test_without_a_run_words_are_of_the_predictors_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here_is(monkeypatch)
    found = compare(Run(tmp_path / "none"), ["smallest", "largest"], CompareSettings(predictors=(SHIPPED,)))
    space = vh.load_predictor(SHIPPED).space
    assert [row.subnet for row in found.rows] == [space.smallest, space.largest]
    assert found.whole
    assert {row.top1 for row in found.rows} == {None}


def test_the_table_says_which_were_measured(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "smallest", "choice", "--predictor", OLD, "--predictor", NEW, "--rounds", "1"]
    words += ["--run", str(run.path)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "On 2 targets"
    names, ways = (next(line for line in lines if word in line).split("┃") for word in ("old-box", "measured"))
    assert [cell.strip() for cell in names[3:5]] == ["old-box", "new-box"]
    assert [cell.strip() for cell in ways[3:5]] == ["measured", "predicted"]
    assert max(map(len, lines)) <= 80
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["target"], found["targets"], found["whole"]) == (OLD_BOX, [OLD_BOX, NEW_BOX], True)
    for row in found["rows"]:
        here, there = row["latencies"]
        assert (here["target"], here["how"], here["latency_ms"], here["failed"]) == (
            OLD_BOX,
            "measured",
            row["p50_ms"],
            "",
        )
        assert (there["target"], there["how"], there["statistic"]) == (NEW_BOX, "predicted", "p50")
        assert there["lower_ms"] < there["latency_ms"] < there["upper_ms"]


def test_what_the_predictor_has_not_seen_the_like_of_is_said(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = vh.load_predictor(NEW).space
    path, seen = tmp_path / "wide.json", tmp_path / "seen.json"
    seen.write_text(space.sample(0).to_json())
    block = vh.Block(space.largest.blocks[0].num_heads, 640, 2560)
    path.write_text(vh.Subnet((32, 32), 1, 8, 640, (block,) * 12, 10).to_json())
    assert main(["compare", str(path), str(seen), "--predictor", NEW, "--run", str(run.path)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert f"wide.json lies outside what the predictor of {NEW_BOX} has seen" in said
    assert "seen.json lies outside" not in said


def test_time_is_shared_between_the_targets_and_predictions_take_none(
    run: Run, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    here_is(monkeypatch, "old-box", "new-box")
    visit, notes = Worker.visit, Notes()

    def slow(self: Worker, *args: object, **kwargs: object) -> object:
        clock.at += 30.0
        return visit(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "visit", slow)
    settings = CompareSettings(predictors=(OLD, NEW), rounds=1, max_time_s=100.0)
    found = compare(run, ["choice", "smallest", "largest"], settings, progress=notes)
    known = [[one.ms is not None for one in row.latencies] for row in found.rows]
    assert [sum(column) for column in zip(*known, strict=True)] == [2, 2]
    assert notes.said == ["time is up: 4 of 6 visits made, 3 of 3 subnets looked at for a top-1"]
    here_is(monkeypatch, "old-box")
    cut = compare(run, ["choice"], settings, deadline=Deadline(0.0))
    (row,) = cut.rows
    assert [one.ms is None for one in row.latencies] == [True, False]
    assert not cut.whole


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["choice", "--predictor", OLD], "Give at least two subnets to compare."),
        (["--predictor", OLD, "--predictor", NEW], "Give at least two subnets to compare."),
        (
            ["choice", "smallest", "--predictor", OLD, "--backend", "openvino"],
            "The targets are those of --predictor, and --backend is of another one.",
        ),
        (
            ["choice", "--predictor", OLD, "--predictor", str(DATA / "predictor-flops.json")],
            f"Two of the predictors are of the target {OLD_BOX}.",
        ),
        (
            ["choice", "smallest", "--predictor", SHIPPED],
            "takes images of 224x224, the subnets of 32x32.",
        ),
        (["choice", "smallest", "--predictor", "nobody"], "Unknown predictor 'nobody'."),
        (["small.json", "smallest", "--predictor", NEW], "with 1 channel(s) and 10 classes; subnet"),
    ],
    ids=lambda given: " ".join(given[:4]) if isinstance(given, list) else None,
)
def test_what_cannot_be_compared(
    words: list[str], said: str, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.path)
    shape = vh.load_predictor(NEW).space.smallest
    Path("small.json").write_text(json.dumps(shape.to_dict() | {"num_classes": 3}))
    assert main(["compare", *words, "--run", str(run.path)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
