"""From a trained model to a smaller one: each step once, whatever kills it, and a table that begins with the model."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_place import HARDWARE, find_place

from vitas_hw.cli.main import main
from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InfeasibleBudgetError, InputError
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.data.load import load_data
from vitas_hw.profiling.place import Place, TargetAsked
from vitas_hw.runs.directory import Run
from vitas_hw.runs.shrunk import Model, Shrunk
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.weights_file import load_model, save_model
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.recipe import DIGITS, of_length
from vitas_hw.training.trainer import Training
from vitas_hw.workflows.shrink import original as first_step
from vitas_hw.workflows.shrink import shrink as road
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.shrink.shrink import shrink

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

SHAPE = Subnet((32, 32), 1, 16, 24, (Block(2, 12, 48),) * 3, 10)
BRIEF = {"num_subnets": 20, "epochs": 2, "retrain_epochs": 2, "train_device": "cpu"}
STEPS = ("profile", "train", "search_run", "retrain", "export", "compare")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that somebody has: trained on the digits for seconds."""
    data, model = load_data("digits", SHAPE), build_model(SHAPE, seed=0)
    recipe = of_length(DIGITS, 8)
    Training(ModelObjective(model, recipe), data.train, recipe, seed=0, num_classes=10).run()
    path = tmp_path_factory.mktemp("model") / "vit.safetensors"
    save_model(model, SHAPE, path)
    return path


@pytest.fixture(autouse=True)
def made_up_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose milliseconds are a subnet's millions of MACs."""
    monkeypatch.setenv(HARDWARE, "fit")
    monkeypatch.setattr("vitas_hw.workflows.profile.profile.find_place", find_place)
    monkeypatch.setattr("vitas_hw.workflows.compare.find_place", find_place)

    def place_of(target: Any, _: str) -> Place:
        return find_place(TargetAsked(), target.image_size)

    monkeypatch.setattr("vitas_hw.profiling.place.place_of", place_of)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each step's work was done; ``kill`` among the keys names the step after which the process ends."""
    done = Counter[str]()

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            made = work(*args, **kwargs)
            done[name] += 1
            if done[f"kill {name}"]:
                done[f"kill {name}"] = 0
                raise KeyboardInterrupt
            return made

        return step

    for name in STEPS:
        monkeypatch.setattr(road, name, counted(name, getattr(road, name)))
    monkeypatch.setattr(first_step, "score", counted("score", first_step.score))
    return done


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What taught the trainings of the supernet and of the choice."""
    found: list[Any] = []

    def noted(objective: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            found.append(kwargs["teacher"])
            return objective(*args, **kwargs)

        return made

    for name in ("train.SupernetObjective", "retrain.ModelObjective"):
        module, _, objective = name.partition(".")
        there = importlib.import_module(f"vitas_hw.workflows.train.{module}")
        monkeypatch.setattr(there, objective, noted(getattr(there, objective)))
    return found


def settings(**changes: Any) -> ShrinkSettings:
    return ShrinkSettings(**{**BRIEF, **changes})


def test_killed_after_each_step_nothing_is_done_twice(
    vit: Path, tmp_path: Path, calls: Counter[str], teachers: list[Any]
) -> None:
    run, asked = Run(tmp_path / "run"), settings(speedup=2.0)
    for step in STEPS:
        calls[f"kill {step}"] = 1
        with pytest.raises(KeyboardInterrupt):
            shrink(run, str(vit), asked)
    found = shrink(run, str(vit), asked)
    # the comparison's file is written after it, so what ends between the two measures again; nothing else does
    assert {name: calls[name] for name in ("score", *STEPS)} == dict.fromkeys(("score", *STEPS), 1) | {"compare": 2}
    assert shrink(run, str(vit), asked) == found
    assert calls["compare"] == 2
    steps = [one["step"] for one in run.read()["steps"]]
    assert steps == ["original", "profile", "train", "search", "retrain", "export", "shrink"]

    # twice as fast as the original measures
    assert found.budget.latency_ms is not None
    original_ms = SHAPE.macs / 1e6
    assert found.budget.latency_ms.high == pytest.approx(original_ms / 2)
    assert found.original.p50_ms == pytest.approx(original_ms)
    assert found.choice.p50_ms <= original_ms / 2
    assert found.speedup == pytest.approx(found.original.p50_ms / found.choice.p50_ms)

    # the rows are the original and what was exported
    data = load_data("digits", SHAPE)
    assert found.original.subnet == SHAPE
    assert found.original.top1 == accuracy(load_model(vit)[0], data.test).top1
    told = json.loads((run.path / "choice.onnx.parity.json").read_text())["exported"]["others"]["onnx"]["top1"]
    assert found.choice.top1 == pytest.approx(told)
    assert found.lost == found.original.top1 - found.choice.top1
    assert found.exported == "choice.onnx"
    assert Shrunk.from_dict(found.to_dict()) == found

    # the supernet began as the model, and the model taught both
    about = json.loads(run.training.read_text())
    assert about["largest_top1"][0] == accuracy(load_model(vit)[0], data.search).top1
    images, _ = next(iter(data.search.batches(8)))
    model, _ = load_model(vit)
    assert len(teachers) == 2
    assert all(torch.allclose(one(images), model(images), atol=1e-5) for one in teachers)
    retraining = run.read()["steps"][4]
    assert "original.safetensors" in retraining["inputs"]

    # another budget takes the same supernet
    again = shrink(run, str(vit), settings(speedup=3.0))
    assert again.choice.p50_ms <= original_ms / 3
    assert (calls["profile"], calls["search_run"], calls["export"]) == (1, 2, 2)


def test_an_impossible_budget_ends_before_training(vit: Path, tmp_path: Path, calls: Counter[str]) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(InfeasibleBudgetError):
        shrink(run, str(vit), settings(budget=Budget.parse(flops="1K")))
    assert calls["profile"] == 0
    for budget in (Budget.parse(flops="1G"), Budget.parse(params="1M")):
        with pytest.raises(InputError, match=r"The model is inside the budget \(.*\) as it is"):
            shrink(run, str(vit), settings(budget=budget))
    assert calls["profile"] == 0
    for asked, error in (
        (settings(speedup=1000.0), InfeasibleBudgetError),
        (settings(budget=Budget.parse("1s")), InputError),
        (settings(budget=Budget.parse(throughput="1/s")), InputError),
        (settings(budget=Budget.parse(throughput="1M/s")), InfeasibleBudgetError),
    ):
        with pytest.raises(error):
            shrink(run, str(vit), asked)
    assert (calls["profile"], calls["train"]) == (1, 0)

    other = replace(SHAPE, embed_dim=32)
    save_model(build_model(other, seed=0), other, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is one of another model or of other images than"):
        shrink(run, str(tmp_path / "other.safetensors"), settings(speedup=2.0))


def test_a_model_that_does_not_run_on_the_device_is_said_to(tmp_path: Path) -> None:
    refused = replace(SHAPE, blocks=(Block(2, 12, 102),) * 3)  # by the made-up runtime, for its first MLP
    save_model(build_model(refused, seed=0), refused, tmp_path / "vit.safetensors")
    with pytest.raises(InputError, match="The model does not run on fake-onnxruntime-fp32"):
        shrink(Run(tmp_path / "run"), str(tmp_path / "vit.safetensors"), settings(speedup=2.0, num_subnets=60))


def test_a_changed_model_file_is_another_model(vit: Path, tmp_path: Path, calls: Counter[str]) -> None:
    run, own = Run(tmp_path / "run"), tmp_path / "vit.safetensors"
    own.write_bytes(vit.read_bytes())
    for _ in range(2):
        first_step.keep_original(run, str(own), settings(speedup=2.0), False, road.SILENT)
    assert calls["score"] == 1
    before = run.original.read_bytes()
    model, _ = load_model(vit)
    with torch.no_grad():
        model.head.bias.add_(0.5)
    save_model(model, SHAPE, own)
    first_step.keep_original(run, str(own), settings(speedup=2.0), False, road.SILENT)
    assert calls["score"] == 2
    assert run.original.read_bytes() != before


def test_a_classifier_of_other_classes_is_fitted_so_that_the_model_can_teach(vit: Path, tmp_path: Path) -> None:
    model, _ = load_model(vit)
    data = load_data("digits", SHAPE)
    own = accuracy(model, data.test)
    strange = replace(SHAPE, num_classes=7)
    other = build_model(strange, seed=3)
    other.load_state_dict(
        {name: weight for name, weight in model.state_dict().items() if "head" not in name}, strict=False
    )
    path = tmp_path / "of-seven.safetensors"
    save_model(other, strange, path)
    run = Run(tmp_path / "run")
    first_step.keep_original(run, str(path), settings(speedup=2.0), False, road.SILENT)
    fitted, shape = load_model(run.original)
    assert shape == SHAPE
    found = accuracy(fitted, data.test)
    assert found.top1 > own.top1 - 0.03
    assert found.loss < own.loss + 0.2  # its shares are those of a teacher, not one tenth each


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "There is no budget to shrink the model to"),
        ({"speedup": 2.0, "budget": Budget.parse("5ms")}, "speedup is a budget of its own, and another one is given"),
        ({"speedup": 1.0}, "speedup must be above 1"),
    ],
)
def test_a_budget_is_said_once(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        settings(**wrong)


def test_the_table_begins_with_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = replace(SHAPE, blocks=SHAPE.blocks[:1])
    made = Shrunk("here", Budget.parse("2ms"), Model(SHAPE, 4.0, 0.95), Model(smaller, 1.6, 0.93), "choice.onnx")
    asked: list[ShrinkSettings] = []

    def whole_road(run: Run, model: str, settings: ShrinkSettings, **_: Any) -> Shrunk:
        asked.append(settings)
        return made

    monkeypatch.setattr(road, "shrink", whole_road)
    words = ["shrink", "mine.safetensors", "--run", str(tmp_path / "run"), "--speedup"]
    assert main([*words, "2.5x"]) == 0
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if "%" in line]
    assert [(row[1], *row[3:6]) for row in rows] == [
        ("mine.safetensors", "95.0%", "\u2502", "4"),
        ("choice", "93.0%", "\u2502", "1.6"),
    ]
    assert "2.50 times as fast for 2.0 points of top-1; asked for: latency at most 2 ms" in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("  vitas-hw")] == [
        "search",
        "retrain",
        "export",
    ]
    assert main([*words, "2x", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["speedup"], found["original"]["top1"], found["exported"]) == (2.5, 0.95, "choice.onnx")
    assert [one.speedup for one in asked] == [2.5, 2.0]
    assert main([*words, "fast"]) == 2
    assert "--speedup 'fast' is no factor." in capsys.readouterr().err
