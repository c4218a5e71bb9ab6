"""Who is told of a training: each epoch once, under one name after a kill, and never at the training's cost."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from vitas_hw.cli.main import main
from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.secrets import redacted
from vitas_hw.core.space import SearchSpace
from vitas_hw.runs.directory import Run
from vitas_hw.training.callbacks import LOGS, About, Callbacks, read_logs
from vitas_hw.workflows.train.retrain import retrain
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings
from vitas_hw.workflows.train.train import train

SETTINGS = {"seed": 0, "recipe": {"lr": 0.001, "augmentation": {"hflip": 0.0}}}
SECRET = "s3cret-token-0123"  # noqa: S105  # of nobody


class Kept:
    """A user's own callback."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.closed = 0

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        self.told.append((epoch, dict(values)))

    def close(self) -> None:
        self.closed += 1


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def about(folder: Path, *, goes_on: bool = False, step: str = "train") -> About:
    return About(step, "digits", folder, SETTINGS, goes_on)


@pytest.fixture
def space_file(small: SearchSpace, tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in small.to_dict().items() if key != "name"}))
    return str(path)


def test_a_training_and_a_retraining_tell_each_epoch(space_file: str, tmp_path: Path) -> None:
    run, supernet, subnet = Run(tmp_path / "run"), Kept(), Kept()
    trained = train(run, TrainSettings(epochs=2, device="cpu", log=()), space=space_file, callbacks=[supernet])
    assert [epoch for epoch, _ in supernet.told] == [1, 2, 2]
    assert supernet.told[0][1].keys() == {"train/loss", "train/lr"}
    losses = [one["loss"] for one in json.loads(run.training.read_text())["history"]]
    assert [values["train/loss"] for _, values in supernet.told[:2]] == losses
    assert supernet.told[2][1] == {"search/top1": trained.top1}
    assert supernet.closed == 1
    done = retrain(run, RetrainSettings(epochs=1, device="cpu", log=()), subnet="smallest", callbacks=[subnet])
    assert [epoch for epoch, _ in subnet.told] == [1, 1]
    assert subnet.told[1][1] == {"search/top1": done.top1}
    assert not run.tensorboard.exists()


def test_what_fails_in_the_middle_is_left_out_and_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Kept):
        def metrics(self, values: Mapping[str, float], epoch: int) -> None:
            raise ConnectionError(f"https://me:{SECRET}@server refused {os.environ['SOME_API_KEY']}")

    monkeypatch.setenv("SOME_API_KEY", "k3y-of-somebody")
    kept, other, notes = Kept(), Kept(), Notes()
    both = Callbacks((), [Broken(), kept, other], about(tmp_path), notes)  # type: ignore[arg-type]
    for epoch in (1, 2):
        both.metrics({"train/loss": 1.0}, epoch)
    both.close()
    assert [epoch for epoch, _ in kept.told] == [epoch for epoch, _ in other.told] == [1, 2]
    assert notes.said == ["logging to Broken failed and ends here: https://***@server refused ***"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"x {SECRET} y", "x *** y"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        ("403 for hf_AbCdEfGhIj at https://huggingface.co/a", "403 for *** at https://huggingface.co/a"),
        ("ftp://u:p@host/x@y", "ftp://***@host/x@y"),
        ("path /home/a@b, mail a@b.c, no secret", "path /home/a@b, mail a@b.c, no secret"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_TOKEN", SECRET)
    monkeypatch.setenv("SHORT_TOKEN", "no")  # a word
    assert redacted(text) == shown


def test_logs_are_named_with_commas() -> None:
    assert read_logs("mlflow,wandb,mlflow") == ("mlflow", "wandb")
    assert read_logs("none") == ()
    with pytest.raises(InputError, match=r"Unknown log 'mlflo'.*tensorboard, mlflow, wandb, none"):
        read_logs("mlflo")


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="it is installed")
def test_a_log_that_is_not_installed_is_said_before_anything_is_trained(
    space_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", "--space", space_file, "--epochs", "1", "--log", "wandb", "--run", str(run)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-2:] == [
        "Error: --log wandb needs the package wandb, which is not installed.",
        "Run: pip install wandb",
    ]


class FakeMlflow:
    """As much of MLflow's client as is used, by its documented signatures; real_logs.py asks the library."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, *args, kwargs))
            if name == "get_experiment_by_name":
                return None
            return type("Run", (), {"info": type("Info", (), {"run_id": "r1"})}) if name == "create_run" else "7"

        return call


def test_mlflow_goes_on_under_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, client = ModuleType("mlflow"), FakeMlflow()
    module.MlflowClient = lambda: client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    first = LOGS["mlflow"](about(tmp_path))
    first.metrics({"train/loss": 2.0}, 1)
    first.close()
    assert ("create_run", "7", {"run_name": "digits train"}) in client.calls
    assert ("log_param", "r1", "recipe.augmentation.hflip", "0.0", {}) in client.calls
    assert client.calls[-2:] == [("log_metric", "r1", "train/loss", 2.0, {"step": 1}), ("set_terminated", "r1", {})]
    client.calls.clear()
    LOGS["mlflow"](about(tmp_path, goes_on=True)).metrics({"train/loss": 1.0}, 2)
    assert client.calls == [
        ("update_run", "r1", {"status": "RUNNING"}),
        ("log_metric", "r1", "train/loss", 1.0, {"step": 2}),
    ]
    LOGS["mlflow"](about(tmp_path, goes_on=True, step="retrain"))
    assert "create_run" in [call[0] for call in client.calls]  # a training of another kind has another name


def test_wandb_goes_on_under_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, begun = ModuleType("wandb"), []

    class Logged:
        def log(self, values: dict[str, float], step: int) -> None:
            begun.append((values, step))

        def finish(self) -> None:
            begun.append("finished")

    def init(**how: Any) -> Logged:
        begun.append(how)
        return Logged()

    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    for goes_on in (False, True):
        one = LOGS["wandb"](about(tmp_path, goes_on=goes_on))
        one.metrics({"train/loss": 2.0}, 1)
        one.close()
    assert begun[0]["id"] == begun[3]["id"]
    assert begun[0]["config"] == SETTINGS
    assert begun[1:3] == [({"train/loss": 2.0}, 1), "finished"]
    assert begun[3]["resume"] == "allow"
    LOGS["wandb"](about(tmp_path))
    assert begun[6]["id"] != begun[0]["id"]  # begun anew


def test_a_log_that_cannot_be_opened_hides_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: About) -> Any:
        raise RuntimeError(f"401 for {SECRET}")

    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setitem(LOGS, "wandb", refused)
    with pytest.raises(VitasError, match=r"^log=wandb cannot be opened: 401 for \*\*\*\. Log in to wandb"):
        Callbacks(("wandb",), [], about(tmp_path), Notes())  # type: ignore[arg-type]


def test_names_that_a_stranger_has_spoiled_are_refused(tmp_path: Path) -> None:
    (tmp_path / "logs.json").write_text('{"train mlflow": 3}')
    with pytest.raises(FileError, match=r"logs\.json does not tell under which names trainings are logged"):
        about(tmp_path, goes_on=True).known("mlflow")


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_has_what_it_always_had(space_file: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run(tmp_path / "run")
    train(run, TrainSettings(epochs=2, device="cpu"), space=space_file)
    read = EventAccumulator(str(run.tensorboard)).Reload()
    assert [one.step for one in read.Scalars("train/loss")] == [1, 2]
    assert [one.step for one in read.Scalars("search/top1")] == [2]


def test_no_library_is_imported_unless_it_is_asked_for() -> None:
    code = "import sys, vitas_hw.training.callbacks; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"mlflow", "wandb", "tensorboard", "torch"} & set(done.stdout.split())
