"""A budget in images a second: the latency that it is at the batch size of the target, and both are said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import Silent
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.runs.artifacts import last_result
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

OLD = Path(__file__).parents[1] / "older_files/v1/predictor-linear.json"
BATCH = 16
BY_SIZE = ["--accuracy", "params", "--population", "4", "--generations", "2"]


@pytest.fixture
def predictor() -> Predictor:
    """Of a box that takes 16 images at once, and is not here."""
    found = vh.load_predictor(OLD)
    return replace(found, target=replace(found.target, batch_size=BATCH))


@pytest.fixture
def run(predictor: Predictor, tmp_path: Path) -> Run:
    """Profiled, not trained."""
    run = Run(tmp_path / "run")
    run.begin(predictor.space)
    run.predictors.mkdir()
    path = run.predictors / f"{predictor.name}.json"
    save_predictor(predictor, path)
    run.record("profile", predictor.space, {}, [], [path])
    return run


@pytest.fixture
def images_per_s(predictor: Predictor) -> int:
    """What the slower half of the space does not reach."""
    codes = predictor.space.sample_codes(500, np.random.default_rng(0))
    median = float(np.median(predictor.predict_columns(predictor.space.columns(codes)).upper_ms))
    return round(1000 * BATCH / median)


def test_a_search_keeps_it_and_says_it_in_both_words(
    run: Run, predictor: Predictor, images_per_s: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["search", "--throughput", f"{images_per_s}/s", *BY_SIZE, "--run", str(run.path)]
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    ceiling = 1000 * BATCH / images_per_s
    assert f"latency at most {ceiling:.3g} ms (throughput at least {images_per_s} images/s)" in printed
    result = last_result(run)
    assert result.budget == Budget(latency_ms=Range(None, ceiling), images_per_s=Range(images_per_s, None))
    for candidate in result.candidates:
        assert predictor.predict([candidate.subnet]).upper_ms[0] <= ceiling
    choice = result.choice
    assert choice.predicted_ms is not None
    reached = 1000 * BATCH / choice.predicted_ms
    assert f"Throughput of the choice: {reached:.0f} images/s" in printed
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["budget"] == {"latency_ms": [None, ceiling], "images_per_s": [images_per_s, None]}
    assert found["images_per_s"] == pytest.approx(reached)


def test_it_finds_what_the_latency_finds(run: Run, images_per_s: int) -> None:
    here = vh.Run(run.path, progress=False)
    sizes = {"accuracy": "params", "population": 4, "generations": 2}
    by_rate = here.search(throughput=images_per_s, **sizes)  # type: ignore[arg-type]
    by_words = here.search(throughput=f"{images_per_s}/s", **sizes)  # type: ignore[arg-type]
    by_latency = here.search(latency=f"{1000 * BATCH / images_per_s!r}ms", **sizes)  # type: ignore[arg-type]
    assert by_rate.budget == by_words.budget
    assert by_rate.best.subnet == by_words.best.subnet == by_latency.best.subnet
    assert [one.subnet for one in by_rate.candidates] == [one.subnet for one in by_latency.candidates]
    alone = vh.search(
        here.space, throughput=images_per_s, predictor=here.predictor, accuracy="params", population=4, generations=2
    )
    assert alone.budget == by_rate.budget


def test_a_runs_manifest_searches_the_same_again(
    run: Run, images_per_s: int, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--run", str(run.path), "--json"]
    assert main(["search", "--throughput", f"{images_per_s}/s", "--memory", "1GB", *BY_SIZE, *where]) == 2
    assert "A memory budget needs the target of the run's predictor" in capsys.readouterr().err
    assert main(["search", "--throughput", f"{images_per_s}/s", *BY_SIZE, *where]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["search", "--config", str(run.manifest), *where]) == 0
    assert json.loads(capsys.readouterr().out) == first


def test_a_training_draws_depths_for_it(run: Run, images_per_s: int) -> None:
    class Notes(Silent):
        said: list[str] = []  # noqa: RUF012

        def note(self, text: str) -> None:
            self.said.append(text)

    budget = Budget.parse(throughput=images_per_s)
    train(run, TrainSettings(budget=budget, data="digits", epochs=1, device="cpu"), progress=Notes())
    said = next(text for text in Notes.said if "for a budget of latency at most" in text)
    assert f"(throughput at least {images_per_s} images/s): mean" in said


def test_what_is_refused(run: Run, predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"A throughput budget needs a predictor\.") as caught:
        vh.search(predictor.space, throughput="500/s", accuracy="params")
    assert (caught.value.field, caught.value.step) == ("throughput", "profile")
    nowhere = Run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no predictor"):
        search_run(nowhere, Budget.parse(throughput="500/s"), SearchSettings(accuracy="params"))
    with pytest.raises(vh.VitasError, match=r"fits the budget of latency at most .* \(throughput at least 10000000 im"):
        vh.Run(run.path, progress=False).search(throughput="10M/s", accuracy="params")
