"""Profiling from an old predictor, until an error is reached, and the combinations that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.space import SearchSpace
from vitas_hw.workflows.profile.settings import ProfileSettings

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py


@pytest.fixture
def words(small: SearchSpace, tmp_path: Path) -> list[str]:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in small.to_dict().items() if key != "name"}))
    return ["profile", "--space", str(path), "--rounds", "1", "--run", str(tmp_path / "run"), "--json"]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(words) == 0
    printed: dict[str, object] = json.loads(capsys.readouterr().out)
    return printed


def test_how_many_subnets_depends_on_the_way() -> None:
    ways: list[dict[str, Any]] = [{}, {"old": "x"}, {"until": 0.1}, {"num_subnets": 33, "old": "x"}]
    assert [ProfileSettings(**way).count for way in ways] == [120, 20, 1000, 33]


def test_few_subnets_are_enough_with_an_old_predictor(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run([*words, "--num-subnets", "40", "--device-name", "old"], capsys)
    new = run([*words, "--from", str(first["predictor"]), "--device-name", "new", "--backend", "openvino"], capsys)
    assert new["ok"] == 20
    steps = json.loads((tmp_path / "run" / "run.json").read_text())["steps"]
    assert [step["settings"]["num_subnets"] for step in steps] == [40, 20]
    predictor = vh.load_predictor(str(new["predictor"]))
    assert predictor.kind == "transfer"
    assert predictor.target.slug == "new-openvino-fp32-b1-t1-i32"
    tried = new["would_have"]
    assert [row["count"] for row in tried] == [10, 20, 50]  # type: ignore[attr-defined, union-attr]
    assert tried[0]["tested"] == 10  # type: ignore[index]
    assert tried[0]["mape"] > 0  # type: ignore[index]
    assert tried[1]["mape"] is None  # type: ignore[index]
    others = ["profile", "--from", str(first["predictor"]), "--run", str(tmp_path / "other"), "--space", "vitas-digits"]
    assert main(others) == 2
    assert "is one of the space 'small', not 'vitas-digits'" in capsys.readouterr().err


def test_profiling_stops_for_a_reason(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    done = run([*words, "--until", "90%", "--num-subnets", "80"], capsys)
    assert done["ok"] == 40  # the first batch is enough for so little
    assert "reached" in done["grown"]["reason"]  # type: ignore[index]
    more = run([*words, "--until", "0.01%", "--num-subnets", "60"], capsys)
    assert more["ok"] == 60
    assert [count for count, _ in more["grown"]["history"]] == [40, 60]  # type: ignore[index]
    assert "the most that was asked for" in more["grown"]["reason"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--until", "3%", "--from", "x"], "Give one of them"),
        (["--until", "300%"], "--until must be above 0 and below 1, not 3.0"),
        (["--until", "soon"], "Try --until 3%"),
        (["--until", "3%", "--bundle", "b"], "Leave it out"),
        (["--until", "3%", "--ray", "auto"], "Leave out --until"),
        (["--max-time", "1h", "--bundle", "b"], "--max-time is for measuring on this machine or by a cluster."),
        (["--until", "3%", "--subnets", "random"], "Leave out --subnets"),
        (["--from", "nobody"], "Unknown predictor 'nobody'"),
        (["--bundle", "b", "--import", "t.csv"], "Give one of them"),
        (["--num-subnets", "19"], "at least 20"),
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--timeout", "0"], "--timeout must be above 0, not 0.0"),
        (["--subnets", "nowhere.jsonl"], "Cannot read the subnets"),
        (["--precision", "fp64"], "does not compute in fp64 here"),
        (["--backend", "tflite"], "Unknown backend 'tflite'"),
        (["--device", "cuda:9"], "no device 'cuda:9'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    words: list[str], options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *options]) == 2
    assert says in capsys.readouterr().err


def test_profiling_stops_in_time_and_goes_on(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [*words, "--num-subnets", "24"]
    assert main([*words, "--max-time", "0.1s"]) == 1  # over before the measuring process has started
    said = capsys.readouterr().err
    assert "time is up: 0 of 24 subnets measured; repeat the command to resume" in said
    assert "needs at least 20 measured subnets; this profile has 0" in said
    assert run(words, capsys)["ok"] == 24
