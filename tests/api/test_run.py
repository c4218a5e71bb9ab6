"""A run from Python: each step is told its settings, by the names and with the checks of the command line."""

from __future__ import annotations

import inspect
import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vitas_hw as vh
from vitas_hw.api import steps
from vitas_hw.core.settings import settings_of
from vitas_hw.core.space import SearchSpace
from vitas_hw.workflows.export.settings import ExportSettings
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OLD = Path(__file__).parents[1] / "older_files" / "v1" / "run"
STEPS = {
    "profile": ProfileSettings,
    "train": TrainSettings,
    "search": SearchSettings,
    "retrain": RetrainSettings,
    "export": ExportSettings,
    "shrink": ShrinkSettings,
}


@pytest.fixture
def run(tmp_path: Path) -> vh.Run:
    """Trained and searched, of a tiny space."""
    return vh.Run(shutil.copytree(OLD, tmp_path / "run"), progress=False)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_takes_every_setting_and_says_what_each_is(name: str) -> None:
    step = getattr(vh.Run, name)
    taken = inspect.signature(step).parameters
    assert {one.name for one in fields(STEPS[name])} <= taken.keys()
    doc = inspect.getdoc(step) or ""
    for setting, about in settings_of(STEPS[name]).items():
        assert not about.help or f"    {setting}: " in doc
        assert taken[setting].default is not inspect.Parameter.empty
    assert doc.index("Args:") < doc.index("Example:")


def test_an_unknown_argument_and_an_impossible_value(run: vh.Run) -> None:
    with pytest.raises(TypeError, match=r"train\(\) got an unexpected keyword argument 'epoch'"):
        run.train(epoch=3)  # type: ignore[call-arg]
    with pytest.raises(vh.VitasError, match="epochs must be at least 1, not 0") as raised:
        run.train(epochs=0)
    assert raised.value.field == "epochs"
    with pytest.raises(vh.VitasError, match="A budget was given, and another one in words"):
        run.train(flops="1M", budget=vh.Budget.parse(params="1M"))


def test_text_is_read_as_the_command_line_reads_it(run: vh.Run) -> None:
    found = run.search(flops="20K", pareto="flops,top1", population=4, generations=1)
    assert found.result.evolution["pareto"] == "macs"
    with pytest.raises(vh.VitasError, match="pareto 'flops' is no pair of axes"):
        run.search(flops="20K", pareto="flops")
    with pytest.raises(vh.VitasError, match="'little' is neither a share nor a percentage"):
        run.profile(until="little")  # type: ignore[arg-type]
    with pytest.raises(vh.VitasError, match="max_time_s: Invalid duration 'soon'") as raised:
        run.train(max_time_s="soon")  # type: ignore[arg-type]
    assert raised.value.field == "max_time_s"


def test_what_a_search_found_has_models_and_is_a_table(run: vh.Run) -> None:
    found = run.search(flops="30K", population=4, generations=2)
    assert found.best.macs <= 30_000
    assert found.best.top1 == found.result.final_top1 is not None
    assert found.best.measured_ms is None
    costs, inherited = [one.macs for one in found.front], [one.loss for one in found.result.front]
    assert costs == sorted(costs)
    assert inherited == sorted(inherited, reverse=True)  # type: ignore[type-var]
    assert found.best.loss == found.result.final_loss  # after its fine-tuning
    data = run.images.test
    images, _ = next(iter(data.batches(8)))
    cheapest, supernet = found.front[0], run.supernet
    with torch.no_grad():
        in_place = supernet(images, cheapest.subnet, layers=cheapest.layers)
        assert torch.allclose(cheapest.model()(images), in_place, atol=1e-5)
        tuned = found.best.model()(images)
        inherited = vh.extract(supernet, found.best.subnet, layers=found.best.layers).eval()(images)
    assert not torch.allclose(tuned, inherited, atol=1e-3)
    rows = found.to_dicts()
    assert [row["best"] for row in rows].count(True) == 1
    assert sum(bool(row["front"]) for row in rows) == len(found.front)
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + len(rows)
    assert "budget: MACs at most 30 K" in html
    again = vh.Run(run.path).found
    assert (again.best, again.budget, again.front) == (found.best, found.budget, found.front)


def test_an_old_result_does_not_hand_out_anothers_weights(run: vh.Run) -> None:
    before = run.found
    now = run.search(flops="12K", population=4, generations=1)
    assert now.best.subnet != before.best.subnet
    with pytest.raises(vh.VitasError, match="has been searched again since: its choice is another subnet now"):
        before.best.model()


def test_steps_keep_their_settings_alone_in_the_manifest(tmp_path: Path, small: SearchSpace) -> None:
    run = vh.Run(tmp_path / "new", space=small, data="digits", progress=False)
    trained = run.train(epochs=1, fresh=True)
    assert trained.to_dicts()[0]["epochs"] == 1
    (step,) = json.loads((run.path / "run.json").read_text())["steps"]
    known = {one.name for one in fields(TrainSettings)}
    assert step["settings"].keys() - {"recipe", "images_left_out"} <= known
    assert step["settings"]["data"] == "digits"
    assert run.space == small
    with pytest.raises(vh.VitasError, match="is one of the space 'small', not 'vitas-digits'"):
        vh.Run(run.path, space=vh.load_space("vitas-digits")).train(epochs=1)
    sized = run.search(params="20K", accuracy="params", population=4, generations=1)
    assert sized.best.top1 is None
    with pytest.raises(vh.VitasError, match="ranked subnets by their size: they have no trained weights yet"):
        sized.best.model()
    retrained = run.retrain(epochs=1)
    assert retrained.subnet == sized.best.subnet
    (exported,) = run.export("onnx", precision="fp32")
    assert exported.path.is_file()
    assert run.export(["onnx"]).to_dicts()[0]["format"] == "onnx"
    assert sized.best.model()(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_subnets_are_words_or_themselves(run: vh.Run) -> None:
    best = run.found.best
    rows = run.evaluate(["choice", best, best.subnet])
    assert [row.subnet for row in rows] == [best.subnet] * 3
    assert len({row.accuracy.top1 for row in rows}) == 1
    assert [row.subnet for row in run.evaluate(best)] == [best.subnet]  # type: ignore[arg-type]
    predicted = vh.Run(run.path.parent / "none").predict(
        [vh.load_space("vitas-digits").smallest], predictor="amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"
    )
    assert predicted[0].lower_ms < predicted[0].latency_ms < predicted[0].upper_ms


class Noting:
    """A progress of the caller's own."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, text: str, total: int, done: int = 0) -> Any:
        from contextlib import nullcontext

        self.notes.append(text)
        return nullcontext(lambda detail: None)


def test_progress_is_shown_handed_over_or_silent(run: vh.Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.search(flops="20K", population=4, generations=1)
    assert capsys.readouterr().err == ""
    noting = Noting()
    vh.Run(run.path, progress=noting).search(flops="20K", population=4, generations=1)
    assert any("searching under" in note for note in noting.notes)
    vh.Run(run.path).search(flops="20K", population=4, generations=1)
    assert "the target is not at hand" in capsys.readouterr().err


def test_settings_of_a_step_are_the_settings() -> None:
    """None of ours hides one of the step's by another meaning."""
    for name, kind in STEPS.items():
        mine = {"profile": steps.Profiling, "train": steps.TrainingSupernet, "search": steps.Searching}.get(name)
        for field, about in settings_of(kind).items() if mine else ():
            ours = settings_of(mine)[field]
            assert (ours.at_least, ours.above, ours.at_most) == (about.at_least, about.above, about.at_most)


def test_a_profile_is_a_table(tmp_path: Path, small: SearchSpace) -> None:
    run = vh.Run(tmp_path / "run", space=small, progress=False)
    profiled = run.profile(num_subnets=20, rounds=1)
    rows = profiled.to_dicts()
    assert len(rows) == 20
    assert np.all([row["p50_ms"] > 0 for row in rows])  # type: ignore[operator]
    assert run.predictor.samples == 20
