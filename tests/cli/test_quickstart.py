"""What a quickstart says at its end."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vitas_hw.cli import search
from vitas_hw.cli.main import main
from vitas_hw.core.budget import Budget
from vitas_hw.export.parity import Agreement, Exported, Parity
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import load_result
from vitas_hw.workflows import quickstart as road

OLD = Path(__file__).parents[1] / "older_files" / "v1" / "run"
ADVICE = "With inherited weights even the best of these subnets (40.0%) is below a linear model on thumbnails (96.0%)"


@pytest.mark.parametrize(("top1", "told"), [(0.98, False), (0.9, True)])
def test_it_compares_the_fine_tuned_choice_and_not_the_supernet_with_a_linear_model(
    top1: float, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(Path(shutil.copytree(OLD, tmp_path / "run")))
    baseline = {"commonest": 0.1, "linear": 0.96, "images": 1000}
    health = {"images": 360, "groups": [], "advice": [ADVICE], "baseline": baseline}
    run.training.write_text(json.dumps(json.loads(run.training.read_text()) | {"health": health}))
    found = load_result(run.result, run.candidates)
    found = replace(found, budget=Budget.parse(latency="2ms"), final_top1=top1)
    parity = Parity("torch", 360, 10.0, top1, {"onnx": Agreement(1e-6, 1.0, top1)})
    exported = Exported("onnx", run.onnx, "fp32", parity, None, "onnxruntime")
    monkeypatch.setattr(road, "quickstart", lambda *words, **settings: (found, exported))
    monkeypatch.setattr(search, "summary", lambda run, result: {"target": "here"})  # this run has no predictor
    assert main(["quickstart", "--run", str(run.path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ADVICE not in said
    assert ("The choice's top-1 of 90.0% is below a linear model on thumbnails (96.0%)" in said) == told
    assert "--latency 2ms" in said
