"""Who is told of a training as it goes: TensorBoard, MLflow, Weights & Biases, or any object with two methods.

A library is imported only when it is asked for. One that fails in the middle of a training is left out from then on:
hours of work do not end because a server does not answer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vitas_hw.core.errors import InputError, VitasError, one_of
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import read_json, reason
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.secrets import redacted

PROJECT = "vitas-hw"  # MLflow's experiment and Weights & Biases' project, unless their own variables name another
NONE = "none"
_LONGEST = 500  # characters of a parameter's value that MLflow takes


class Callback(Protocol):
    """Told of a training, in its first process and by the thread that trains.

    Example:
        >>> class Shown:
        ...     def metrics(self, values, epoch):
        ...         print(epoch, values)
        ...     def close(self):
        ...         print("ended")
    """

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """What an epoch, counted from 1, came to: ``train/loss`` and ``train/lr``; once it is known ``search/top1``.

        After a kill the training goes on from its last checkpoint, so an epoch may be told a second time.
        """
        ...

    def close(self) -> None:
        """The training has ended, or stops and may go on later."""
        ...


@dataclass(frozen=True)
class About:
    """A training that is about to begin or to go on.

    Args:
        step: ``train`` or ``retrain``.
        name: of the run.
        folder: of the run.
        settings: what decides the result, as JSON types.
        goes_on: whether it had begun before; else nothing of an earlier one is kept.
    """

    step: str
    name: str
    folder: Path
    settings: Mapping[str, Any]
    goes_on: bool

    @property
    def ids(self) -> Path:
        """Where the services' names of the training are kept, so that it goes on under the same one."""
        return self.folder / "logs.json"

    def known(self, service: str) -> str | None:
        """The service's name of this training; None if it begins. Raises FileError on a broken file."""
        return self._all().get(f"{self.step} {service}") if self.goes_on else None

    def keep(self, service: str, name: str) -> None:
        """Keep the service's name of this training."""
        write_atomic(self.ids, json.dumps(self._all() | {f"{self.step} {service}": name}, indent=1) + "\n")

    def _all(self) -> dict[str, str]:
        if not self.ids.exists():
            return {}
        with refusing(self.ids, "does not tell under which names trainings are logged", "Remove it."):
            found: dict[str, str] = from_json(dict[str, str], read_json(self.ids, "the logs' names"))
            return found


class TensorBoard:
    """Files for TensorBoard in the run."""

    def __init__(self, about: About) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = about.folder / "tensorboard"
        folder = folder if about.step == "train" else folder / about.step
        if not about.goes_on:
            shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder))

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        self._writer.close()


class Mlflow:
    """A run of MLflow, where its own variables say: ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``."""

    def __init__(self, about: About) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient()
        known = about.known("mlflow")
        if known is not None:
            self._client.update_run(known, status="RUNNING")
            self._run = known
            return
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(experiment)
        number = self._client.create_experiment(experiment) if found is None else found.experiment_id
        self._run = self._client.create_run(number, run_name=f"{about.name} {about.step}").info.run_id
        for name, value in _flat(about.settings):
            self._client.log_param(self._run, name, str(value)[:_LONGEST])
        about.keep("mlflow", self._run)

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class Wandb:
    """A run of Weights & Biases; ``WANDB_MODE=offline`` keeps it on this machine, ``WANDB_PROJECT`` names its place."""

    def __init__(self, about: About) -> None:
        import wandb

        name = about.known("wandb") or uuid.uuid4().hex[:8]
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=f"{about.name} {about.step}",
            id=name,
            resume="allow",
            config=dict(about.settings),
        )
        about.keep("wandb", name)

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log(dict(values), step=epoch)

    def close(self) -> None:
        self._run.finish()


LOGS: dict[str, Callable[[About], Callback]] = {"tensorboard": TensorBoard, "mlflow": Mlflow, "wandb": Wandb}


def read_logs(text: str) -> tuple[str, ...]:
    """Logs as they are typed: names with commas between them, or ``none``. Raises InputError on another name."""
    names = tuple(dict.fromkeys(name for name in text.split(",") if name and text != NONE))
    for name in names:
        if name not in LOGS:
            raise one_of(name, (*LOGS, NONE), "log")
    return names


def check_installed(names: Sequence[str]) -> None:
    """Raises InputError if the library of a log is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            problem = f"`log={name}` needs the package {name}, which is not installed."
            raise InputError(problem, f"Run: pip install {name}", field="log")


class Callbacks:
    """Several as one; none of them can end a training.

    Args:
        names: of ``LOGS``; None is TensorBoard where it is installed.
        own: the caller's, beside them.
        about: what is logged.
        progress: where a log that fails is told.

    Raises:
        VitasError: a log that was asked for cannot be opened: nobody is logged in, the server does not answer.
    """

    def __init__(self, names: Sequence[str] | None, own: Sequence[Callback], about: About, progress: Progress) -> None:
        self._progress = progress
        self._open: list[tuple[str, Callback]] = [(type(one).__name__, one) for one in own]
        usual = [name for name in ("tensorboard",) if importlib.util.find_spec(name) is not None]
        for name in usual if names is None else names:
            try:
                self._open.append((name, LOGS[name](about)))
            except VitasError:
                raise
            except Exception as error:  # each library raises its own
                raise VitasError(
                    f"`log={name}` cannot be opened: {redacted(reason(error))}.",
                    f"Log in to {name} or set up its server, or leave `log` out.",
                    field="log",
                ) from error

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """See ``Callback``."""
        self._each(lambda one: one.metrics(values, epoch))

    def close(self) -> None:
        """See ``Callback``."""
        self._each(lambda one: one.close())

    def _each(self, call: Callable[[Callback], None]) -> None:
        for each in list(self._open):
            name, one = each
            try:
                call(one)
            except Exception as error:  # each library raises its own
                self._open.remove(each)
                self._progress.note(f"logging to {name} failed and ends here: {redacted(reason(error))}")


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Settings of settings by names such as ``recipe.lr``."""
    found = []
    for name, value in settings.items():
        inside = isinstance(value, Mapping)
        found += _flat(value, f"{above}{name}.") if inside else [(f"{above}{name}", value)]
    return found
