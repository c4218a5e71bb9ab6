"""The data that comes along: found by name, whole, and made from each other."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.core.presets import preset
from vitas_hw.core.reading import file_sha256
from vitas_hw.predictors.predictor import save_predictor
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.predictors.shipped import shipped
from vitas_hw.profiling.estimate import WITH_ANCHOR, WITHOUT_ANCHOR
from vitas_hw.profiling.profile import with_quiet
from vitas_hw.report.predictor_card import predictor_card
from vitas_hw.runs.directory import DEFAULT_SPACE
from vitas_hw.workflows.fit import measured_of
from vitas_hw.workflows.quickstart import OLD

ROOT = Path(__file__).parent.parent
PREDICTORS = sorted(path.stem for path in shipped("predictors").glob("*.json"))


def test_there_are_some() -> None:
    assert PREDICTORS


def test_the_quickstart_begins_with_one_of_its_own_space() -> None:
    assert vh.load_predictor(OLD).space == preset(DEFAULT_SPACE)


@pytest.mark.parametrize(
    "name", [name if name == OLD else pytest.param(name, marks=pytest.mark.full) for name in PREDICTORS]
)
def test_a_shipped_predictor_is_fitted_to_its_profile(name: str, tmp_path: Path) -> None:
    predictor = vh.load_predictor(name)
    assert predictor.name == name
    path = shipped("profiles") / f"{name}.jsonl"
    assert predictor.profile_sha256 == file_sha256(path)
    profile = vh.load_profile(path)
    assert (profile.name, profile.target, profile.space) == (name, predictor.target, predictor.space)
    again = tmp_path / "again.json"
    save_predictor(vh.fit_predictor(profile, path=path), again)
    fitted, known = vh.load_predictor(again), predictor
    subnets = [measurement.subnet for measurement in profile.ok]
    # The bytes are those of one XGBoost version on one kind of processor. On others sums are rounded otherwise, and a
    # tree may split elsewhere where two splits are equally good: that moves single subnets, not the predictor.
    apart = np.abs(fitted.predict(subnets).latency_ms / known.predict(subnets).latency_ms - 1)
    assert np.quantile(apart, 0.98) < 0.02
    assert apart.max() < 0.05


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_shipped_profile_says_what_its_raw_samples_say(name: str) -> None:
    """benchmarks/rederive.py writes what they say."""
    profile = vh.load_profile(shipped("profiles") / f"{name}.jsonl")
    again = with_quiet(profile)
    assert profile.quiet is not None
    assert profile.quiet.means in (WITH_ANCHOR, WITHOUT_ANCHOR)
    assert [row.quiet_ms for row in profile.ok] == pytest.approx([row.quiet_ms for row in again.ok], rel=1e-4)
    errors = [row.quiet_error for row in profile.ok]
    if profile.quiet.unknown:
        assert set(errors) == {None}
    else:
        assert errors == pytest.approx([row.quiet_error for row in again.ok], rel=1e-3)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_shipped_predictor_reproduces_its_measurements(name: str) -> None:
    learned = measured_of(vh.load_profile(shipped("profiles") / f"{name}.jsonl"))
    found, measured = vh.load_predictor(name).predict(learned.subnets), learned.latency_ms
    inside = [low <= ms <= high for low, ms, high in zip(found.lower_ms, measured, found.upper_ms, strict=True)]
    assert sum(inside) / len(inside) > 0.85


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_shipped_predictor_has_its_card_and_report(name: str) -> None:
    folder = shipped("predictors")
    report = json.loads((folder / "reports" / f"{name}.json").read_text())
    predictor = vh.load_predictor(name)
    assert {key: predictor.metrics[key] for key in report["kinds"][0]["scores"]} == report["kinds"][0]["scores"]
    assert (folder / "cards" / f"{name}.md").read_text() == predictor_card(predictor, report)
    assert (folder / f"{name}.json").read_text() == seal(predictor.to_dict())


@pytest.mark.full
def test_the_wheel_carries_them_and_finds_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import sys, pathlib; import vitas_hw as vh;"
        "assert pathlib.Path(vh.__file__).is_relative_to(sys.argv[1]), vh.__file__;"
        "print(*(vh.load_predictor(name).name for name in sys.argv[2:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, site, *PREDICTORS],
        env={"PYTHONPATH": str(site), "PATH": ""},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == PREDICTORS
