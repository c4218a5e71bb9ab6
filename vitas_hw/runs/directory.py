"""A run directory: what each step made, and a manifest of how."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from vitas_hw.core.errors import FileError, InputError, WriteError, brief
from vitas_hw.core.files import remove_litter, write_atomic, writing
from vitas_hw.core.reading import file_sha256, parse_json, read_text
from vitas_hw.core.records import content, from_json, refusing, to_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.runs.space_file import load_space

P = ParamSpec("P")
Made = TypeVar("Made")
SCHEMA = 1
_LIBRARIES = (
    "vitas-hw",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pymoo",
    "scikit-learn",
    "timm",
    "torch",
    "xgboost",
    "xgboost-cpu",
)
WHEN = "%Y-%m-%dT%H:%M:%SZ"  # of a step's end in the manifest, UTC
DEFAULT_RUN = Path("runs/default")
HOLDERS = ("quickstart", "shrink", "profile", "train", "search", "retrain", "export")  # hold a run and record its steps
DEFAULT_SPACE = "digits"
DEFAULT_DATA = "digits"
_ELSEWHERE = "Give another directory with `run`, or move it away."
_LOCK, _HOLDER = ".lock", ".lock.by"  # the second says whose it is: nobody else can read a locked file on Windows
_PATIENCE_S, _PAUSE_S = 2.0, 0.25  # of a process that was killed, helpers may live, and hold the lock, a moment longer


def _versions() -> dict[str, str]:
    """Of the installed libraries: one may stand in for another, and a checkout may be used without being installed."""
    found = {}
    for name in _LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _inside(name: str, about: str) -> cached_property[Path]:
    """The place of that name in a run's directory; the sentence is what ``help(Run)`` says."""

    def place(run: Run) -> Path:
        return run.path / name

    place.__doc__ = about
    return cached_property(place)


@dataclass(frozen=True)
class _Manifest:
    space: dict[str, Any] | None
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class _Step:
    """What is read of a step."""

    step: str
    finished: str
    command: tuple[str, ...]
    settings: dict[str, Any]
    versions: dict[str, str]
    inputs: dict[str, str]
    outputs: dict[str, str]

    def __post_init__(self) -> None:
        time.strptime(self.finished, WHEN)


@dataclass(frozen=True)
class Run:
    """The files of one run; none needs to exist."""

    path: Path

    manifest = _inside("run.json", "The space, and each step with settings, versions and hashes.")
    data = _inside("data.json", "Name, preprocessing, class names and the indices of the data's parts.")
    original = _inside("original.safetensors", "The pretrained model to start from, on the run's images and classes.")
    supernet = _inside("supernet.safetensors", "The trained supernet.")
    training = _inside("train.json", "Settings, losses and top-1 of its training.")
    training_state = _inside("training.pt", "What an unfinished training goes on from.")
    tensorboard = _inside("tensorboard", "Losses for TensorBoard.")
    profiles = _inside("profiles", "Profiles and the journals that they are made of.")
    bundle = _inside("bundle.json", "The plan of the bundle made last.")
    engines = _inside("engines", "A profile's engines, so that no round builds them anew; may be removed at any time.")
    predictors = _inside("predictors", "Predictors, each named like its profile.")
    candidates = _inside("candidates.jsonl", "All that the last search evaluated, in order.")
    evaluations = _inside("evaluations.jsonl", "Every evaluation with the supernet's weights, as it happened.")
    search_state = _inside("search-state", "Visits and fine-tunings that an unfinished search goes on from.")
    result = _inside("search.json", "The last search's result but for its candidates.")
    searched_profile = _inside("search-profile.jsonl", "The profile with what the last search measured.")
    searched_predictor = _inside("search-predictor.json", "Fitted to it, where the last search had to.")
    choice = _inside("choice.safetensors", "Fine-tuned weights of the last search's choice.")
    retrained = _inside("retrained.safetensors", "Weights of the subnet retrained last.")
    retraining_state = _inside("retraining.pt", "What an unfinished retraining goes on from.")
    report = _inside("report.html", "The report made last.")
    shrunk = _inside("shrink.json", "The original and the choice side by side.")
    onnx = _inside("choice.onnx", "The choice, as export writes it unless told otherwise.")

    def journal(self, target: Target, space: SearchSpace) -> Path:
        """Where the timings of a target and space are kept."""
        return self.profiles / f"{target.slug}--{space.name}.journal.jsonl"

    def read(self) -> dict[str, Any]:
        """The manifest; an empty one if there is none. Raises FileError if it is broken or of another schema."""
        self._refuse_links_out()
        if not self.manifest.exists():
            return {"schema": SCHEMA, "space": None, "steps": []}
        with refusing(self.manifest, f"is not a run's manifest of schema {SCHEMA}", _ELSEWHERE):
            data = parse_json(read_text(self.manifest, "the manifest", hint=_ELSEWHERE))
            found = from_json(_Manifest, content(data, SCHEMA))
            for step in found.steps:
                from_json(_Step, {one.name: step[one.name] for one in fields(_Step)})
        return {"schema": SCHEMA, **to_json(found)}

    def space(self, wanted: str | SearchSpace | None) -> SearchSpace:
        """The run's space; in a new run the wanted one (a name, a YAML file, or itself), or the default.

        Raises:
            InputError: the run is one of another space.
        """
        known = self.read()["space"]
        asked = load_space(wanted) if isinstance(wanted, str) else wanted
        if known is None:
            return asked or load_space(DEFAULT_SPACE)
        space = SearchSpace.from_dict(known)
        if asked is not None and asked != space:
            called = wanted if isinstance(wanted, str) else asked.name
            raise InputError(
                f"The run {self.path} is one of the space {space.name!r}, not {called!r}.",
                f"Give another directory: `run=runs/{Path(called).stem}`.",
                field="space",
            )
        return space

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, whose folder is made if need be, for a step that writes: one process at a time.

        The system lets go of it when the process ends, by kill -9 too; what that left half-written is removed. A folder
        that was made is removed if nothing has come of it.

        Raises:
            InputError: another process holds it, or nothing can be written there.
            FileError: something in it is a symbolic link that leads out.
        """
        from filelock import FileLock, Timeout

        lock, holder = FileLock(self.path / _LOCK), self.path / _HOLDER
        try:
            with writing(self.path / _LOCK):
                self._refuse_links_out()
                made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=_PATIENCE_S, poll_interval=_PAUSE_S)
            for folder in (self.path, self.profiles, self.predictors):
                remove_litter(folder)
            write_atomic(holder, f"{os.getpid()} on {socket.gethostname()}\n")
        except WriteError as error:
            lock.release()
            if isinstance(error.__cause__, Timeout):
                raise self._held() from error
            raise self._cannot_write(error) from error
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)
            with suppress(OSError):  # Windows removes no open file; another process has put something there
                if made and os.listdir(self.path) == [_LOCK]:
                    (self.path / _LOCK).unlink()
                    for folder in made:
                        folder.rmdir()
            lock.release()

    def refuse_if_held(self) -> None:
        """Raises InputError if another process holds the run: before anything heavy is loaded to work on it."""
        if (self.path / _LOCK).exists():
            with self.locked():
                pass

    def _held(self) -> InputError:
        try:
            holder = brief(read_text(self.path / _HOLDER, "the holder's name", most=200))
        except FileError:
            holder = "of unknown number"
        return InputError(
            f"The run {self.path} is being worked on by the process {holder}.",
            "Wait until it has ended, or give another directory with `run`.",
            field="run",
        )

    def _refuse_links_out(self) -> None:
        """What is written in the run stays there, and what is read from it is its own."""
        root = _real(self.path)
        for folder in (self.path, self.profiles, self.predictors):
            for entry in folder.iterdir() if folder.is_dir() else ():
                if entry.is_symlink() and not _real(entry).is_relative_to(root):
                    raise FileError(
                        f"{entry} is a symbolic link out of the run, to {_real(entry)}.",
                        "Put the file itself there, or remove the link.",
                    )

    def _cannot_write(self, error: WriteError) -> InputError:
        return InputError(
            f"Cannot write to the run directory {self.path}: {error.why}.", "Give another with `run`.", field="run"
        )

    def begin(self, space: SearchSpace) -> None:
        """Make the directory and note the space, before any work is done that could not be kept.

        Raises:
            InputError: nothing can be written there.
        """
        manifest = self.read()
        manifest["space"] = space.to_dict()
        self._write(manifest)

    def begin_search(self, *, going_on: bool = False) -> Run:
        """An empty place for what a search will leave; until it is whole, an earlier search's files stay.

        ``going_on`` is for one that has left some already and will leave better: what it has measured is copied.
        """
        staged = Run(self.path / ".search")
        shutil.rmtree(staged.path, ignore_errors=True)
        with writing(staged.path):
            staged.path.mkdir()
            for path in (self.searched_profile, self.searched_predictor) if going_on else ():
                if path.exists():
                    shutil.copyfile(path, staged.path / path.name)
        return staged

    def end_search(self, staged: Run) -> None:
        """Let the files there take the place of an earlier search's: renamed, so that no disk is too full for it."""
        self.forget_search()
        files = sorted(staged.path.iterdir(), key=lambda path: path.name == self.result.name)
        for path in files:  # the result last: where it is, the rest is too
            path.replace(self.path / path.name)
        staged.path.rmdir()

    def forget_search_state(self, search: str | None = None) -> None:
        """Remove what an unfinished search goes on from, by its name; None removes that of all."""
        if search is not None:
            shutil.rmtree(self.search_state / search, ignore_errors=True)
        if search is None or not any(self.search_state.glob("*")):
            shutil.rmtree(self.search_state, ignore_errors=True)

    def forget_search(self) -> None:
        """Remove what an earlier search left, so that no later step takes it for another one's."""
        found = [self.result, self.retrained, self.candidates, self.report, self.shrunk]
        found += [self.searched_profile, self.searched_predictor]
        exports = (*self.path.glob("choice*"), *self.path.glob("rank-*"))  # with their reports; and choice itself
        for path in (*found, *exports):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _write(self, manifest: dict[str, Any]) -> None:
        try:
            write_atomic(self.manifest, json.dumps(manifest, indent=1) + "\n")
        except WriteError as error:
            if self.manifest.exists():  # it could be written before, so another directory is not the cure
                raise
            raise self._cannot_write(error) from error

    def record(
        self,
        step: str,
        space: SearchSpace,
        settings: dict[str, Any],
        inputs: Sequence[Path],
        outputs: Sequence[Path],
    ) -> None:
        """Add a step to the manifest: settings, versions, hashes of inputs and outputs."""
        manifest = self.read()
        manifest["space"] = space.to_dict()
        manifest["steps"].append(
            {
                "step": step,
                "finished": time.strftime(WHEN, time.gmtime()),
                "command": sys.argv[1:],
                "settings": settings,
                "versions": {"python": platform.python_version(), **_versions()},
                "inputs": self._hashes(inputs),
                "outputs": self._hashes(outputs),
            }
        )
        self._write(manifest)

    def _hashes(self, paths: Sequence[Path]) -> dict[str, str]:
        root = _real(self.path)
        resolved = [_real(path) for path in paths]
        names = [p.relative_to(root).as_posix() if p.is_relative_to(root) else p.name for p in resolved]
        return {name: file_sha256(path) for name, path in zip(names, paths, strict=True)}


def _real(path: Path) -> Path:
    """Without symbolic links; pathlib raises RuntimeError for one that points to itself, which the reader will tell."""
    return Path(os.path.realpath(path))


def one_at_a_time(step: Callable[Concatenate[Run, P], Made]) -> Callable[Concatenate[Run, P], Made]:
    """A step that holds its run while it works; of several processes of one training, the first holds it for all."""

    @wraps(step)
    def holding(run: Run, *args: P.args, **kwargs: P.kwargs) -> Made:
        if os.environ.get("RANK", "0") != "0":
            return step(run, *args, **kwargs)
        with run.locked():
            return step(run, *args, **kwargs)

    return holding  # type: ignore[return-value]  # mypy asks for a nameless first argument
