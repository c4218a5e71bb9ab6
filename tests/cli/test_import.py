"""A bundle goes out, a table filled elsewhere comes back as a profile like any other."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.space import SearchSpace
from vitas_hw.profiling.imported import COLUMNS


@pytest.fixture
def made(small: SearchSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    space = tmp_path / "small.yaml"
    space.write_text(yaml.safe_dump({key: value for key, value in small.to_dict().items() if key != "name"}))
    words = ["profile", "--bundle", str(tmp_path / "bundle"), "--space", str(space), "--rounds", "2"]
    assert main([*words, "--num-subnets", "24", "--run", str(tmp_path / "run"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"bundle": str(tmp_path / "bundle"), "subnets": 24, "visits": 2 * (24 + 3)}
    return tmp_path / "bundle"


def fill(folder: Path, table: Path, slowdown: float = 1.5, refused: str = "") -> None:
    """A made-up phone: a microsecond for each thousand MACs; from the second round on it is throttled."""
    plan = json.loads((folder / "bundle.json").read_text())
    macs = {digest: vh.Subnet.from_json(json.dumps(subnet)).macs for digest, subnet in plan["subnets"].items()}
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for number, visit in enumerate(plan["visits"]):
            if visit["subnet"] == refused:
                continue
            slow = slowdown if visit["round"] else 1.0
            rows.writerow([plan["anchor"]["subnet"], "anchor", number, 0, 2.0 * slow])
            for sample in range(3):
                ms = macs[visit["subnet"]] / 1e6 * slow
                rows.writerow([visit["subnet"], visit["measurement"], visit["round"], sample, ms])


def test_a_table_comes_back_as_a_profile(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "elsewhere.csv"  # no bundle.json beside it: the run's is taken
    refused = list(json.loads((made / "bundle.json").read_text())["subnets"])[5]
    fill(made, table, refused=refused)
    words = ["profile", "--import", str(table), "--device-name", "my-phone", "--run", str(tmp_path / "run"), "--json"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["ok"], printed["failed"]) == (23, 1)
    assert printed["noise_floor"] == pytest.approx(0.0, abs=1e-6)
    profile = vh.load_profile(printed["profile"])
    assert profile.name == "my-phone-onnxruntime-fp32-b1-t1-i32--small"
    assert [(row.subnet.digest, row.failed) for row in profile.measurements if row.failed] == [
        (refused, "The table has no rows of it.")
    ]
    level = {round(row.latency_ms / row.subnet.macs * 1e6, 6) for row in profile.ok}
    assert len(level) == 1  # throttling is corrected for by the anchor
    assert {drift for row in profile.ok for drift in row.drift} == {0.8, 1.2}  # around the median of both
    assert vh.load_predictor(printed["predictor"]).predict([profile.ok[0].subnet]).latency_ms[0] > 0


def test_a_table_without_a_name_or_a_plan_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "elsewhere.csv"
    fill(made, table)
    assert main(["profile", "--import", str(table), "--run", str(tmp_path / "run")]) == 2
    assert "Add --device-name" in capsys.readouterr().err
    assert main(["profile", "--import", str(table), "--device-name", "x", "--run", str(tmp_path / "other")]) == 2
    assert "There is no bundle.json beside" in capsys.readouterr().err
