"""A run keeps what its supernet says of itself, and acts on it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.runs.artifacts import read_health
from vitas_hw.runs.directory import Run
from vitas_hw.training.health import Group, Health
from vitas_hw.workflows.train.retrain import retrain
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings
from vitas_hw.workflows.train.train import Trained, train

OLD = Path(__file__).parents[1] / "older_files" / "v1" / "run"


@dataclass
class Noted(Silent):
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: SearchSpace) -> tuple[Run, Trained, Noted]:
    folder = tmp_path_factory.mktemp("run")
    about = small.to_dict() | {"depth": [1, 2]}
    space = folder / "tiny.yaml"
    space.write_text("\n".join(f"{key}: {value}" for key, value in about.items() if key != "name"))
    run, noted = Run(folder / "run"), Noted()
    settings = TrainSettings(epochs=2, batch_size=128, device="cpu", sandwich=True)
    return run, train(run, settings, space=str(space), progress=noted), noted


def test_it_stands_in_the_run_and_is_said(trained: tuple[Run, Trained, Noted]) -> None:
    run, done, noted = trained
    assert done.health is not None
    assert read_health(run) == done.health
    names = [one.name for one in done.health.groups]
    assert names[:4] == ["smallest", "largest", "depth 1", "depth 2"]
    assert done.health.advice  # two epochs are too few
    assert not set(done.health.advice) & set(noted.notes)  # of no use to who goes on to a search that fine-tunes
    about = json.loads(run.training.read_text())
    assert about["block_shares"] == list(done.block_shares) == [1.0, 1.0]  # a sandwich trains all in each step


def test_a_scaled_learning_rate_is_said_and_kept(trained: tuple[Run, Trained, Noted]) -> None:
    run, _, noted = trained
    assert "batches of 128 images, peak learning rate 0.002 (scaled with it)" in noted.notes
    settings = run.read()["steps"][-1]["settings"]
    assert (settings["lr"], settings["recipe"]["lr"], settings["recipe"]["batch_size"]) == (None, 0.002, 128)


@pytest.mark.parametrize(("worse", "warned"), [(True, True), (False, False), (None, False)])
def test_a_teacher_that_is_worse_than_the_smallest_is_warned_of(
    worse: bool | None, warned: bool, tmp_path: Path
) -> None:
    run, noted = Run(Path(shutil.copytree(OLD, tmp_path / "run"))), Noted()
    if worse is not None:  # None: a run of an older version, which tells nothing
        groups = [Group("size", "smallest", 0.5, 0.8, 0.0, 0.0), Group("size", "largest", 0.6, 0.7, 0.1, 0.02)]
        groups = groups if worse else [Group("size", "smallest", 0.6, 0.7, 0.1, 0.02)]
        health = Health(360, tuple(groups), ()).to_dict()
        run.training.write_text(json.dumps(json.loads(run.training.read_text()) | {"health": health}))
    settings = RetrainSettings(epochs=1, device="cpu", teacher="supernet", init="supernet", max_time_s=1e-9)
    retrain(run, settings, subnet="smallest", progress=noted)
    said = [note for note in noted.notes if "does worse than its smallest" in note]
    assert bool(said) == warned
    assert all("leave the teacher out" in note for note in said)
