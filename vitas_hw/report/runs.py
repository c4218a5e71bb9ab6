"""What there is under a folder of runs."""

from __future__ import annotations

import time
from calendar import timegm
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.reading import read_json, reason
from vitas_hw.report.collect import command_of
from vitas_hw.runs.artifacts import read_exports
from vitas_hw.runs.directory import Run

_WORDS = {"profile": "profiled", "train": "trained", "search": "searched", "retrain": "retrained", "export": "exported"}


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One run; None is what it has not got to, or does not tell.

    Args:
        path: its directory.
        step: the last one finished: ``begun``, ``profiled``, ``trained``, ``searched``, ``retrained``, ``exported``,
            or ``broken``.
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
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def list_runs(folder: Path) -> list[RunSummary]:
    """The runs in a folder and in its folders, newest first; one that cannot be read says why instead of ending it all.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Run: vitas-hw quickstart, or name another folder.")
    found = [summary_of(Run(path.parent)) for path in sorted((*folder.glob("run.json"), *folder.glob("*/run.json")))]
    return sorted(found, key=lambda run: (run.age_s is None, run.age_s, run.path))


def summary_of(run: Run) -> RunSummary:
    """What a run's files say of it."""
    try:
        return _summary(run)
    except FileError as error:
        return RunSummary(path=str(run.path), step="broken", problem=error.problem)


def _summary(run: Run) -> RunSummary:
    manifest = run.read()
    steps = manifest["steps"]
    states = {"training": run.training_state, "retraining": run.retraining_state}
    choice = _choice(run)
    return RunSummary(
        path=str(run.path),
        step=_WORDS.get(steps[-1]["step"], steps[-1]["step"]) if steps else "begun",
        unfinished=tuple(name for name, path in states.items() if path.exists()),
        space=None if manifest["space"] is None else str(manifest["space"].get("name")),
        target=_target(steps),
        age_s=time.time() - _finished(steps[-1]) if steps else None,
        commands=tuple(filter(None, map(command_of, steps))),
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
        digest = _digest(choice["subnet"])
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
    for export in read_exports(run).values():
        top1 = export["exported"]["others"][export["format"]]["top1"]
        if top1 is not None:
            return found | {"top1": top1, "top1_split": "test"}
    return found


def _digest(subnet: Any) -> str:
    from vitas_hw.core.subnet import Subnet

    return Subnet.from_dict(subnet).digest


def _target(steps: list[dict[str, Any]]) -> str | None:
    for step in reversed(steps):
        names = [name for name in step["outputs"] if name.startswith("predictors/")]
        if step["step"] == "profile" and names:
            return Path(names[0]).stem.split("--")[0]
    return None


def _finished(step: dict[str, Any]) -> float:
    return float(timegm(time.strptime(step["finished"], "%Y-%m-%dT%H:%M:%SZ")))
