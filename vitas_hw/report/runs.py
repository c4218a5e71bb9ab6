"""What there is under a folder of runs."""

from __future__ import annotations

import shlex
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import read_json, reason
from vitas_hw.core.subnet import Subnet
from vitas_hw.runs.artifacts import read_exports
from vitas_hw.runs.directory import HOLDERS, WHEN, Run

_WORDS = {"original": "begun", "profile": "profiled", "train": "trained", "search": "searched", "retrain": "retrained"}
_WORDS |= {"export": "exported", "shrink": "shrunk"}


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run; None is what it has not got to, or does not tell.

    Args:
        path: its directory.
        step: the last one finished: ``begun``, ``profiled``, ``trained``, ``searched``, ``retrained``, ``exported``,
            ``shrunk`` or ``broken``.
        unfinished: what can be gone on with: ``training``, ``retraining``.
        space: name.
        target: slug of the last profile's target.
        budget: of the last search, in words.
        top1: of the choice, in [0, 1].
        top1_split: ``test`` or ``search``.
        latency_ms: p50 of the choice.
        latency_measured: whether that was measured, not predicted.
        age_s: since the last step was finished.
        commands: that made it.
        steps: that are finished, in order.
        problem: why it cannot be read.
    """

    path: str
    step: str
    unfinished: tuple[str, ...] = ()
    space: str | None = None
    target: str | None = None
    budget: str | None = None
    top1: float | None = None
    top1_split: str | None = None
    latency_ms: float | None = None
    latency_measured: bool | None = None
    age_s: float | None = None
    commands: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    problem: str | None = None


def list_runs(folder: Path) -> list[RunSummary]:
    """The runs in a folder and in its folders, newest first; one that cannot be read says why instead of ending it all.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", field="folder", value=folder, step="quickstart")
    found = [_summary(Run(path.parent)) for path in sorted((*folder.glob("run.json"), *folder.glob("*/run.json")))]
    return sorted(found, key=lambda run: (run.age_s is None, run.age_s, run.path))


def command_of(step: dict[str, Any]) -> str:
    """What was typed for a step of a manifest; empty if it was called from Python."""
    words = step["command"]
    typed = any(word in HOLDERS for word in words[:2])  # before a command only a flag of all commands can stand
    return f"vitas-hw {shlex.join(words)}" if typed else ""


def on_test(exports: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Name, top-1 and number of images of the first export that was compared on test images; None without one."""
    for name, data in exports.items():
        top1 = data["exported"]["others"][data["format"]]["top1"]
        if top1 is not None:
            return {"name": name, "top1": top1, "images": data["exported"]["images"]}
    return None


def _summary(run: Run) -> RunSummary:
    try:
        manifest, choice = run.read(), _choice(run)
    except FileError as error:
        return RunSummary(path=str(run.path), step="broken", problem=error.problem)
    steps = manifest["steps"]
    states = {"training": run.training_state, "retraining": run.retraining_state}
    return RunSummary(
        path=str(run.path),
        step=_WORDS.get(steps[-1]["step"], steps[-1]["step"]) if steps else "begun",
        unfinished=tuple(name for name, path in states.items() if path.exists()),
        space=None if manifest["space"] is None else str(manifest["space"].get("name")),
        target=_target(steps),
        age_s=time.time() - timegm(time.strptime(steps[-1]["finished"], WHEN)) if steps else None,
        commands=tuple(filter(None, map(command_of, steps))),
        steps=tuple(step["step"] for step in steps),
        **choice,
    )


def _choice(run: Run) -> dict[str, Any]:
    """Budget, top-1 and latency of the last search's choice, from its result alone: candidates are many."""
    if not run.result.exists():
        return {}
    try:
        data = read_json(run.result, "the search result")
        choice = data["choice"]
        measured = data["measured_ms"]
        digest = Subnet.from_dict(choice["subnet"]).digest
        found = {
            "budget": str(Budget.from_dict(data["budget"])),
            "top1": choice.get("top1") if data["final_top1"] is None else data["final_top1"],
            "top1_split": "search",
            "latency_ms": measured.get(digest, choice["predicted_ms"]),
            "latency_measured": digest in measured,
        }
    except FileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise FileError(f"{run.result} is not a search result: {type(error).__name__}: {reason(error)}.") from error
    tested = on_test(read_exports(run))
    return found if tested is None else found | {"top1": tested["top1"], "top1_split": "test"}


def _target(steps: list[dict[str, Any]]) -> str | None:
    for step in reversed(steps):
        names = [name for name in step["outputs"] if name.startswith("predictors/")]
        if step["step"] == "profile" and names:
            return Path(names[0]).stem.split("--")[0]
    return None
