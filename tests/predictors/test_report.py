from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.regression import Calibration
from vitas_hw.predictors.report import noise_floor_text, report
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.runs.directory import Run

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))


def made_up(space: SearchSpace, count: int) -> tuple[list, np.ndarray]:
    rng = np.random.default_rng(0)
    subnets = list(dict.fromkeys(space.sample(rng) for _ in range(count)))
    clean = np.array([0.1 * subnet.depth + subnet.macs * 2e-8 for subnet in subnets])
    return subnets, clean * rng.normal(1, 0.03, len(subnets))


def test_it_says_what_unseen_subnets_would_have_got(digits: SearchSpace) -> None:
    subnets, measured = made_up(digits, 120)
    found = report(Measured(subnets, measured, TARGET, digits).examples(), ["linear", "flops"])
    by_kind = {one.kind: one.scores for one in found.kinds}
    assert 0.015 < by_kind["linear"]["mape"] < 0.035  # the noise put in: not less, as it would be on seen subnets
    assert by_kind["linear"]["mape"] < by_kind["flops"]["mape"]
    assert len(found.kinds[0].decile_mape) == 10
    assert [size for size, _ in found.learning_curve] == [20, 50, len(subnets) * 4 // 5]
    assert 0.8 <= found.coverage <= 0.98
    data = json.loads(json.dumps(found.to_dict()))
    assert data["noise_floor"] == noise_floor_text(None) == "not measured"


def test_intervals_widen_where_errors_are_larger() -> None:
    rng = np.random.default_rng(0)
    held_out = np.linspace(1, 10, 600)
    measured = held_out * np.exp(rng.normal(0, np.where(held_out < 4, 0.1, 0.02)))
    found = Calibration.of(held_out, measured)
    lower, upper = found.interval(held_out)
    inside = (lower <= measured) & (measured <= upper)
    for third in np.array_split(inside, 3):
        assert 0.87 <= third.mean() <= 0.94
    assert found.half_widths[0] > 3 * found.half_widths[2]
    few = Calibration.of(held_out[:8], measured[:8])
    assert len(few.half_widths) == 1
    assert few.half_widths[0] == np.abs(np.log(held_out[:8] / measured[:8])).max()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_fit_and_predict_a_profile(digits: SearchSpace, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subnets, measured = made_up(digits, 60)
    rows = [Measurement(subnet, ((float(ms),),)) for subnet, ms in zip(subnets, measured, strict=True)]
    rows[3] = Measurement(subnets[3], failed="no memory")
    save_profile(Profile(TARGET, digits, {"fingerprint": "f"}, None, None, tuple(rows)), folder / "mine.jsonl")
    found = said(capsys, "fit", "mine.jsonl", "--kind", "linear")
    assert (found["samples"], found["dropped"], found["noise_floor"]) == (len(subnets) - 1, 1, None)
    assert [one["kind"] for one in found["kinds"]] == ["linear", "xgboost", "flops"]
    assert {"mape", "rmspe", "within_5", "within_10", "kendall", "spearman"} < set(found["kinds"][0])
    predictor = vh.load_predictor(found["predictor"])
    assert predictor.metrics["mape"] == found["kinds"][0]["mape"]
    assert Path(found["plot"]).read_bytes().startswith(b"\x89PNG")
    card = Path(found["predictor"]).parent / "cards" / f"{predictor.name}.md"
    assert f"{len(subnets) - 1} subnets" in card.read_text()
    first = Path(found["predictor"]).read_bytes()
    assert main(["fit", "mine.jsonl", "--kind", "linear"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "(mean difference of two measurements): not measured" in printed
    assert "The noise of the labels cannot be estimated: fewer than 20 examples were visited twice." in printed
    assert found["kinds"][0]["model_error"] is None
    assert Path(found["predictor"]).read_bytes() == first
    words = ["smallest", "random:1", digits.largest.to_json()]
    predicted = said(capsys, "predict", *words, "--predictor", found["predictor"])
    subnets = [digits.smallest, digits.sample(1), digits.largest]
    assert predicted["latency_ms"] == predictor.predict(subnets).latency_ms.tolist()
    assert set(predicted) == {"latency_ms", "lower_ms", "upper_ms", "inside"}
    run = Run(folder / "runs/own")
    run.begin(digits)
    run.predictors.mkdir()
    kept = Path(shutil.copy(found["predictor"], run.predictors))
    run.record("profile", digits, {}, [], [kept])
    assert said(capsys, "predict", *words, "--run", "runs/own") == predicted  # the run's own


def test_a_fit_tells_its_error_from_the_labels_noise(
    digits: SearchSpace, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subnets, _ = made_up(digits, 120)
    rng = np.random.default_rng(0)
    clean = np.array([0.1 * subnet.depth + subnet.macs * 2e-8 for subnet in subnets])
    loud = rng.exponential(0.1, (len(subnets), 2)) * (rng.random((len(subnets), 2)) < 0.5)
    visits = clean[:, None] * np.exp(loud + rng.normal(0, 0.02 + 0.2 * loud))
    rows = [
        Measurement(subnet, tuple((ms, 1.02 * ms, 1.04 * ms) for ms in own), tuple(drift))
        for subnet, own, drift in zip(subnets, visits.tolist(), np.exp(loud).tolist(), strict=True)
    ]
    save_profile(Profile(TARGET, digits, {"fingerprint": "f"}, None, 1.0, tuple(rows)), folder / "mine.jsonl")
    found = said(capsys, "fit", "mine.jsonl", "--kind", "linear", "--statistic", "quiet")
    assert found["statistic"] == "quiet"
    for one in found["kinds"]:
        assert one["model_error"] ** 2 + one["label_noise"] ** 2 == pytest.approx(one["mape"] ** 2)
        assert one["model_error_95"][0] <= one["model_error_95"][1]
    linear, *_, flops = found["kinds"]
    assert linear["model_error"] < 0.6 * linear["mape"]  # the line is the truth here
    assert flops["model_error"] > 0.9 * flops["mape"]
    predictor = vh.load_predictor(found["predictor"])
    assert predictor.statistic == "quiet"
    assert predictor.metrics["model_error"] == linear["model_error"]
    assert predictor.metrics["label_noise"] == linear["label_noise"]
    low = predictor.predict(subnets).latency_ms
    assert vh.fit_predictor(vh.load_profile("mine.jsonl"), "linear").statistic == "p50"
    assert np.median(low / clean) == pytest.approx(1, abs=0.02)
    assert main(["fit", "mine.jsonl", "--kind", "linear", "--statistic", "quiet"]) == 0
    assert "the model's own, with its 95% interval" in " ".join(capsys.readouterr().out.split())
    card = Path(found["predictor"]).parent / "cards" / f"{predictor.name}.md"
    assert "on the machine as quiet as it was seen" in card.read_text()
    assert "--statistic quiet" in card.read_text()


def test_fit_and_predict_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = [f"m{i // 5},{x:.3f},{2 + x:.3f}" for i, x in enumerate(rng.uniform(1, 9, 60))]
    (folder / "phone.csv").write_text("\n".join(["net,work,my ms", *rows]) + "\n")
    found = said(capsys, "fit", "--csv", "phone.csv", "--column", "my ms", "--group", "net")
    assert found["predictor"] == "predictors/phone--my-ms.json"
    assert [one["kind"] for one in found["kinds"]] == ["xgboost", "linear"]
    predicted = said(capsys, "predict", "--csv", "phone.csv", "--predictor", found["predictor"])
    assert predicted["latency_ms"] == pytest.approx([2 + float(row.split(",")[1]) for row in rows], rel=0.01)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fit"], "Give a profile, or --csv"),
        (["fit", "--csv", "a.csv"], "Give a profile, or --csv"),
        (["fit", "nowhere.jsonl"], "Cannot read the profile"),
        (["fit", "nowhere"], "Unknown profile 'nowhere'"),
        (["fit", "nowhere", "--group", "net"], "A --group is a column of a table"),
        (["fit", "nowhere", "--kind", "magic"], "Unknown kind of predictor"),
        (["fit", "nowhere", "--statistic", "mode"], "Unknown statistic"),
        (
            ["fit", "--csv", "a.csv", "--column", "ms", "--statistic", "quiet"],
            "A --statistic is taken from a profile's",
        ),
        (["fit", "--csv", "a.csv", "--column", "ms"], "Cannot read the table"),
        (["predict", "smallest"], "The run runs/default has no predictor.\nRun: vitas-hw profile\n"),
        (["predict", "smallest", "--run", "my own"], "Run: vitas-hw profile --run 'my own'\n"),
        (["predict", "smallest", "--run=mine"], "Run: vitas-hw profile --run mine\n"),
        (["predict", "--csv", "a.csv"], "Say which predictor the table is for"),
        (["predict", "--predictor", "x"], "Give subnets, or --csv"),
        (["predict", "smallest", "--predictor", "x"], "Unknown predictor"),
        (["predict", "--csv", "a.csv", "--predictor", "x.json"], "Cannot read the predictor"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert says in capsys.readouterr().err


def test_unknown_subnets_and_kinds_that_a_table_cannot_have(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"
    assert main(["predict", "tiny", "--predictor", name]) == 2
    assert "Unknown subnet 'tiny'" in capsys.readouterr().err
    (folder / "a.csv").write_text("a,ms\n" + "1,2\n" * 30)
    assert main(["fit", "--csv", "a.csv", "--column", "ms", "--kind", "lookup"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "Predictors of the kind 'lookup' can still be read but no longer fitted. Known: xgboost, linear, flops" in said
    )
    assert main(["fit", "--csv", "a.csv", "--column", "ms", "--kind", "flops"]) == 2
    assert "needs a column of MACs" in capsys.readouterr().err
