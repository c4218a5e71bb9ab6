"""Time that is up, and Ctrl-C, anywhere: what was trained and measured is not done again, the best so far is there."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clocks import Clock
from fake_place import HARDWARE, find_place

import vitas_hw as vh
from vitas_hw.core.budget import Budget
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import ImageData
from vitas_hw.profiling.place import TargetAsked
from vitas_hw.profiling.worker import Worker
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import candidate_of, load_result
from vitas_hw.supernet.weights_file import load_model, save_supernet
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.recipe import DIGITS, Recipe, of_length
from vitas_hw.training.trainer import Training
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.export.settings import ExportSettings
from vitas_hw.workflows.search import finetune
from vitas_hw.workflows.search.finetune import Finetuning
from vitas_hw.workflows.search.measure_finalists import finalist_meter
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.train.retrain import retrain
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings
from vitas_hw.workflows.train.train import train

OLD = Path(__file__).parents[1] / "older_files/v1/run"
SEARCH = SearchSettings(population=4, generations=2, device="cpu")
BUDGET = Budget.parse(flops="600K")


class Steps:
    """Counts training steps; ``then`` is called after the step of number ``stop``."""

    def __init__(self) -> None:
        self.made, self.stop = 0, -1
        self.then: Callable[[Training], None] = lambda _: None


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    counted, step = Steps(), Training._step

    def counting(self: Training, *group: Any) -> None:
        step(self, *group)
        counted.made += 1
        if counted.made == counted.stop:
            counted.then(self)

    monkeypatch.setattr(Training, "_step", counting)
    return counted


def ends(training: Training) -> None:
    """As a signal that was noted does."""
    training.deadline.signals.append(signal.SIGINT)


def interrupts(_: Training) -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three epochs of the digits in all, of which one is a finalist's."""

    def recipe(*_: object) -> Recipe:
        return replace(of_length(DIGITS, 3), lr=2e-3)

    monkeypatch.setattr(finetune, "finetune_recipe", recipe)


@pytest.fixture(scope="module")
def data(small: SearchSpace) -> ImageData:
    return vh.load_data("digits", small)  # type: ignore[return-value]


@pytest.fixture
def begun(small: SearchSpace, data: ImageData, tmp_path: Path) -> Run:
    """A run with a supernet that has learnt nothing: what is searched does not matter here."""
    run = Run(tmp_path / "run")
    run.begin(small)
    write_atomic(run.data, json.dumps(data.to_dict()))
    save_supernet(vh.build_supernet(small, seed=1), run.supernet)
    return run


def copy(run: Run, name: str) -> Run:
    return Run(Path(shutil.copytree(run.path, run.path.with_name(name))))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_model(run.choice)[0].state_dict()


@pytest.mark.usefixtures("shorter")
@pytest.mark.parametrize("stop", [1, 20, 51, 60])  # in a finalist's training, after one, in the choice's
def test_a_fine_tuning_goes_on_where_it_was_and_ends_in_the_same_weights(
    stop: int, small: SearchSpace, data: ImageData, steps: Steps, tmp_path: Path
) -> None:
    supernet = vh.build_supernet(small, seed=1).eval()
    finalists = [candidate_of(small, code) for code in small.sample_codes(3, np.random.default_rng(2))]
    whole = Finetuning(supernet, data, 0, SILENT).best_of(finalists, {})
    all_steps, steps.made, steps.stop, steps.then = steps.made, 0, stop, ends
    cut = Finetuning(supernet, data, 0, SILENT, folder=tmp_path, deadline=Deadline()).best_of(finalists, {})
    assert steps.made == stop  # within a step
    assert not cut.whole
    inherited = min(Finetuning(supernet, data, 0, SILENT).inherited(one).loss for one in finalists)
    assert whole.loss < cut.loss <= inherited
    assert cut.loss == pytest.approx(accuracy(cut.model, data.search).loss)  # the model is what the loss is of
    again = Finetuning(supernet, data, 0, SILENT, folder=tmp_path).best_of(finalists, {})
    assert steps.made == all_steps  # none twice
    assert (again.candidate, again.loss, again.history) == (whole.candidate, whole.loss, whole.history)
    theirs = again.model.state_dict()
    assert all(torch.equal(one, theirs[name]) for name, one in whole.model.state_dict().items())


@pytest.mark.usefixtures("shorter")
def test_with_no_time_left_only_what_is_inherited_is_compared(small: SearchSpace, data: ImageData) -> None:
    supernet = vh.build_supernet(small, seed=1).eval()
    finalists = [candidate_of(small, code) for code in small.sample_codes(3, np.random.default_rng(2))]
    tuning = Finetuning(supernet, data, 0, SILENT, deadline=Deadline(0.0))
    over = tuning.best_of(finalists, {})
    assert over.candidate == finalists[0]  # the most wanted; scoring the others would take time
    assert not over.whole
    assert list(tuning.tuned) == [finalists[0].subnet.digest]


@pytest.mark.usefixtures("shorter")
def test_ctrl_c_in_the_fine_tuning_leaves_a_choice_and_the_same_search_ends_as_if_undisturbed(
    begun: Run, data: ImageData, steps: Steps
) -> None:
    other = copy(begun, "undisturbed")
    expected = search_run(other, BUDGET, SEARCH)
    all_steps, steps.made, steps.stop, steps.then = steps.made, 0, 30, interrupts
    with pytest.raises(KeyboardInterrupt):
        search_run(begun, BUDGET, SEARCH)
    assert steps.made == 30
    # the choice with inherited weights is whole: it can be exported
    kept = load_result(begun.result, begun.candidates)
    model, subnet = load_model(begun.choice)
    assert subnet == kept.choice.subnet
    assert accuracy(model.eval(), data.search).top1 == kept.final_top1
    assert kept.tuned == {}
    assert not [one for one in begun.read()["steps"] if one["step"] == "search"]  # it has not ended
    lines = begun.evaluations.read_text().splitlines()
    assert search_run(begun, BUDGET, SEARCH) == expected
    assert steps.made == all_steps
    assert begun.evaluations.read_text().splitlines()[: len(lines)] == lines
    assert sum("losses" in line for line in begun.evaluations.read_text().splitlines()) == 8  # each once
    for name in ("choice", "candidates", "result"):
        assert getattr(begun, name).read_bytes() == getattr(other, name).read_bytes()
    assert not begun.search_state.exists()


@pytest.mark.usefixtures("shorter")
def test_a_search_that_the_time_has_cut_is_one_that_goes_on(
    begun: Run, small: SearchSpace, steps: Steps, clock: Clock
) -> None:
    other, notes = copy(begun, "undisturbed"), Notes()
    expected = search_run(other, BUDGET, SEARCH)

    def later(_: Training) -> None:
        clock.at += 3600.0

    steps.made, steps.stop, steps.then = 0, 30, later
    cut = search_run(begun, BUDGET, replace(SEARCH, max_time_s=600.0), progress=notes)
    assert steps.made == 30
    assert notes[-1] == "time is up: the best so far is kept as the choice; repeat the command to resume"
    assert begun.read()["steps"][-1]["settings"]["whole"] is False
    assert cut.choice in expected.candidates
    assert search_run(begun, BUDGET, SEARCH) == expected
    assert begun.choice.read_bytes() == other.choice.read_bytes()
    assert begun.read()["steps"][-1]["settings"]["whole"] is True


class Notes(Silent):
    """What is said, and what begins."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def __getitem__(self, place: int) -> str:
        return self.said[place]


@pytest.mark.parametrize("stop", [1, 6, 24])
@pytest.mark.parametrize("by", ["Ctrl-C", "time"])
def test_no_visit_to_a_finalist_is_made_twice(
    by: str, stop: int, digits: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HARDWARE, "fit")
    place, deadline = find_place(TargetAsked(), digits.image_size), Deadline()
    subnets, visits, visit = [digits.sample(seed) for seed in range(5)], [], Worker.visit

    def counted(self: Worker, subnet: Any) -> Any:
        if by == "Ctrl-C" and len(visits) == stop and not deadline.signals:
            deadline.signals.append(signal.SIGINT)
            raise KeyboardInterrupt
        found = visit(self, subnet)
        visits.append(subnet)
        if by == "time" and len(visits) == stop:
            deadline.signals.append(signal.SIGTERM)
        return found

    monkeypatch.setattr(Worker, "visit", counted)

    def meter(until: Deadline) -> Any:
        return finalist_meter(place, None, 0, SILENT, deadline=until, folder=tmp_path)(subnets)

    expected = [subnet.macs / 1e6 for subnet in subnets]
    if by == "time" and stop >= len(subnets):
        assert meter(deadline) == pytest.approx(expected)  # of fewer rounds
    else:
        with pytest.raises(TimeIsUpError if by == "time" else KeyboardInterrupt):
            meter(deadline)
    assert len(visits) == stop
    assert meter(Deadline()) == pytest.approx(expected)
    assert len(visits) == 5 * 5
    assert {visits.count(subnet) for subnet in subnets} == {5}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Subnets scored after a training."""
    scored: list[int] = []
    from vitas_hw.workflows.train import train as module

    real = module.subnet_accuracy

    def counted(*args: Any, **kwargs: Any) -> Any:
        scored.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "subnet_accuracy", counted)
    return scored  # type: ignore[return-value]


def test_a_training_that_has_ended_is_not_made_again_where_the_look_over_was_cut(
    small: SearchSpace, tmp_path: Path, steps: Steps, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(json.dumps({key: value for key, value in small.to_dict().items() if key != "name"}))
    run, settings = Run(tmp_path / "run"), TrainSettings(epochs=1, device="cpu")
    steps.stop, steps.then = 17, lambda _: setattr(clock, "at", clock.at + 3600.0)  # the last step: 1,077 digits of 64
    notes = Notes()
    done = train(run, replace(settings, max_time_s=600.0), space=str(space), progress=notes)
    assert (steps.made, done.top1, done.epochs, done.path) == (17, None, 1, run.training_state)
    assert "repeat the command to resume" in notes[-1]
    assert not run.supernet.exists()
    steps.stop = -1
    ended = train(run, settings, space=str(space))
    assert (steps.made, ended.path) == (17, run.supernet)
    whole = train(Run(tmp_path / "whole"), settings, space=str(space))
    assert ended.top1 == whole.top1
    assert run.supernet.read_bytes() == Run(tmp_path / "whole").supernet.read_bytes()


def test_a_retraining_that_has_ended_is_not_made_again(tmp_path: Path, steps: Steps, clock: Clock) -> None:
    run = Run(Path(shutil.copytree(OLD, tmp_path / "run")))
    settings = RetrainSettings(epochs=1, device="cpu", init="supernet")
    retrain(copy(run, "whole"), settings, subnet="smallest")
    last, steps.made = steps.made, 0
    steps.stop, steps.then = last, lambda _: setattr(clock, "at", clock.at + 3600.0)
    cut = retrain(run, replace(settings, max_time_s=600.0), subnet="smallest")
    assert (cut.path, cut.top1) == (run.retraining_state, None)
    retrain(run, settings, subnet="smallest")
    assert steps.made == last
    assert run.retrained.read_bytes() == Run(tmp_path / "whole").retrained.read_bytes()


def test_decoding_is_interrupted_between_images_and_goes_on(data: ImageData, tmp_path: Path) -> None:
    from PIL import Image

    for number in range(600):
        path = tmp_path / f"{number % 10}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), number % 256).save(path)
    found = vh.load_data(f"folder:{tmp_path}", vh.load_space("vitas-digits"), search_share=0.45)
    opened, looks = [], []
    part = found.search  # type: ignore[attr-defined]
    source = part.pixels.source
    image = type(source).image

    def counted(self: Any, index: int) -> Any:
        opened.append(index)
        return image(self, index)

    def over() -> None:
        looks.append(len(opened))
        raise TimeIsUpError("the training began")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "image", counted)
        with pytest.raises(TimeIsUpError):
            part.ready(over)
        assert looks == [256]
        part.ready()
    assert sorted(opened) == sorted(part.indices)  # each once


def test_an_export_keeps_the_formats_that_were_checked_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, notes = Run(Path(shutil.copytree(OLD, tmp_path / "run"))), Notes()
    with pytest.raises(TimeIsUpError, match=r"^Time is up before an export was checked"):
        export(run, ExportSettings(), deadline=Deadline(0.0))
    deadline = Deadline()
    from vitas_hw.workflows.export import export as module

    move = module._move

    def moved(*args: Any) -> None:
        move(*args)
        deadline.signals.append(signal.SIGTERM)

    monkeypatch.setattr(module, "_move", moved)
    run.onnx.unlink(missing_ok=True)
    done = export(run, ExportSettings(formats=("onnx", "timm", "torch")), deadline=deadline, progress=notes)
    assert [one.format for one in done] == ["onnx"]
    assert notes[-1] == "time is up: not exported to timm, torch"
    assert run.onnx.exists()
    assert done[0].report.exists()
    assert [path.name for path in run.path.glob("*timm*")] == []
    assert list(run.read()["steps"][-1]["outputs"]) == ["choice.onnx", "choice.onnx.parity.json"]


class Told(Notes):
    """What begins, how much of it is done, and what is said meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[tuple[str, int, int]] = []
        self.details: list[str] = []

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
        self.begun.append((text, total, done))
        yield self.details.append


def test_progress_counts_steps_and_images_a_second_and_begins_where_it_was(tmp_path: Path, steps: Steps) -> None:
    run = Run(Path(shutil.copytree(OLD, tmp_path / "run")))
    settings = RetrainSettings(epochs=2, device="cpu", init="supernet")
    first, second = Told(), Told()
    steps.stop, steps.then = 3, ends
    retrain(run, settings, subnet="smallest", progress=first, deadline=Deadline())
    steps.stop = -1
    retrain(run, settings, subnet="smallest", progress=second)
    (text, total, done), (again, all_, before) = first.begun[0], second.begun[0]
    assert text == again == "training the subnet on digits"
    assert (total, done, all_, before) == (all_, 0, total, 3)
    assert len(first.details) == 3
    assert len(second.details) == total - 3
    assert re.fullmatch(r"epoch 1 of 2, \d+ images/s", first.details[0])
    assert re.fullmatch(r"epoch 2 of 2, loss \d\.\d{3}, \d+ images/s", second.details[-1])


def test_a_longer_road_says_which_part_of_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends where the time does: what was cut goes on first when the command is repeated."""
    from types import SimpleNamespace

    from vitas_hw.workflows import quickstart as module

    told, done = Told(), []

    def part(name: str, made: object) -> Callable[..., Any]:
        def work(*_: object, progress: Any, deadline: Deadline, **__: object) -> object:
            with progress.step(name, 1) as advance:
                advance("")
            done.append(name)
            if name == cut:
                deadline.signals.append(signal.SIGINT)
            return made

        return work

    profiled = SimpleNamespace(whole=True, profile=SimpleNamespace(space=None), predictor=None)
    made = {"profile": profiled, "train": None, "search_run": "found", "export": ["file"]}
    for name, one in made.items():
        monkeypatch.setattr(module, name, part(name, one))
    monkeypatch.setattr(module, "default_budget", lambda *_: BUDGET)
    cut = ""
    run = Run(tmp_path / "run")
    assert module.quickstart(run, progress=told) == ("found", "file")
    assert [text for text, *_ in told.begun] == ["[1/4] profile", "[2/4] train", "[3/4] search_run", "[4/4] export"]
    done.clear()
    cut = "train"
    with pytest.raises(TimeIsUpError, match="before the supernet was trained"):
        module.quickstart(run, deadline=Deadline())
    assert done == ["profile", "train"]
    done.clear()
    profiled.whole, cut = False, ""
    with pytest.raises(TimeIsUpError, match="before all subnets were measured"):  # fewer would give another budget
        module.quickstart(run, deadline=Deadline())
    assert done == ["profile"]
