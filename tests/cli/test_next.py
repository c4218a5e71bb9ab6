"""What is said to type next works as it stands: with the run, and with a budget that binds."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.cli.options import DEFAULT_RUN, in_run
from vitas_hw.cli.profile_output import print_profiled
from vitas_hw.core.presets import preset
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.predictor import Predictor, fit
from vitas_hw.profiling.profile import Measurement, Profile
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.profile.profile import Profiled


def test_a_run_is_named_unless_it_is_the_usual_one() -> None:
    assert in_run(DEFAULT_RUN, "export --onnx", "report") == "vitas-hw export --onnx, then vitas-hw report"
    words = in_run(Path("runs/my own"), "search --latency 5ms")
    assert shlex.split(words) == ["vitas-hw", "search", "--latency", "5ms", "--run", "runs/my own"]


@pytest.fixture(scope="module")
def predicted() -> tuple[Profile, Predictor]:
    """Of a device whose milliseconds are millions of MACs."""
    space = preset("vitas-digits")
    target = Target("made-up", "onnxruntime", "fp32", 1, 1, space.image_size)
    subnets: list[Subnet] = list(dict.fromkeys(space.sample(seed) for seed in range(60)))
    times = [subnet.macs / 1e6 for subnet in subnets]
    rows = tuple(Measurement(subnet, ((ms,) * 3,)) for subnet, ms in zip(subnets, times, strict=True))
    return Profile(target, space, {}, None, 1.0, rows), fit(Measured(subnets, times, target, space), "linear")


@pytest.mark.parametrize("trained", [False, True])
def test_a_profile_proposes_a_budget_that_binds(
    trained: bool, predicted: tuple[Profile, Predictor], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    profile, predictor = predicted
    run = Run(tmp_path / "run")
    run.path.mkdir()
    if trained:
        run.supernet.touch()
    monkeypatch.setattr("vitas_hw.cli.profile_output._drift", lambda _: "-")
    print_profiled(Profiled(profile, predictor, run.profiles / "a.jsonl", run.predictors / "a.json"), as_json=False)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]
    assert ("vitas-hw train" in line) == (not trained)
    assert line.count(f"--run {run.path}") == (1 if trained else 2)
    found = re.search(r"--latency ([\d.]+)ms", line)
    assert found is not None
    codes = profile.space.sample_codes(2000, np.random.default_rng(7))
    inside = predictor.predict_columns(profile.space.columns(codes)).latency_ms <= float(found[1])
    assert 0.1 < inside.mean() < 0.2


@pytest.mark.parametrize("other", [False, True])
def test_a_space_for_data_goes_into_a_run_of_its_own_where_the_usual_one_has_another(
    other: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number, 0, 0)).save(path)
    if other:  # as after a quick start
        Run(DEFAULT_RUN).begin(preset("vitas-digits"))
    assert main(["spaces", "--for", "folder:photos"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]
    run = " --run runs/photos" if other else ""
    expected = f"vitas-hw profile --space photos.yaml{run}, then vitas-hw train --data folder:photos{run}"
    assert line == f"Next: {expected}"
    assert vh.load_space("photos.yaml").num_classes == 2


def test_without_a_command_the_road_is_shown_and_how_far_the_run_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> tuple[list[str], str]:
        """The commands that are done, and the line on what comes next."""
        assert main([]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 120
        assert "vitas-hw --help" in out
        (following,) = [line for line in out.splitlines() if line.startswith("Next: ")]
        return re.findall(r"^  done  vitas-hw (\w+)", out, re.MULTILINE), following

    monkeypatch.chdir(tmp_path)
    assert said()[0] == []
    assert "vitas-hw quickstart" in said()[1]
    run = Run(DEFAULT_RUN)
    for step, following in (("profile", "train"), ("train", "search"), ("search", "export --onnx")):
        with run.locked():
            run.record(step, preset("digits"), {}, [], [])
        assert said()[0][-1] == step
        assert said()[1] == f"Next: vitas-hw {following}"
    with run.locked():
        run.record("export", preset("digits"), {}, [], [])
    assert said()[1] == "Next: vitas-hw report"
    run.report.touch()
    assert said()[0] == ["profile", "train", "search", "export", "report"]
    run.manifest.write_text("spoiled")
    assert main([]) == 0
    assert "cannot be read. See: vitas-hw runs runs" in capsys.readouterr().out
