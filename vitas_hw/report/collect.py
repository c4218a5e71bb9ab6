"""Everything that a run's directory tells, for the page of its report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.records import from_json, refusing
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.report.fits import Fit, collect_profiles
from vitas_hw.report.headlines import Figure, asked_for, headline, original_and_choice, warnings_of
from vitas_hw.report.search import Search, search_shown
from vitas_hw.runs.artifacts import load_run_predictor, read_exports, read_health, read_training
from vitas_hw.runs.directory import Run
from vitas_hw.runs.shrunk import read_shrunk
from vitas_hw.searching.result import SearchResult, load_result
from vitas_hw.training.health import Health

_TUNING, _RETRAINING = "Fine-tuning of the choice", "Retraining"  # names of curves


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page; what a run has not done is empty or None.

    Args:
        name: of the run.
        space: that it searches.
        made: when the page was made, UTC.
        asked: what was asked for, and the answer.
        figures: what came out.
        warnings: one sentence each.
        advice: of the supernet about itself, where it is no warning because the choice was trained on.
        models: rows of a shrunk run: the original and the choice, see ``original_and_choice``.
        subnet: the choice's architecture.
        fits: the search's predictor first.
        health: of the supernet; None if an older version trained it.
        block_shares: of the training steps, of each block; empty as health is.
        curves: mean training loss of each epoch, by name of the training.
        machines: a title, names and values.
        steps: of the manifest.
    """

    name: str
    space: SearchSpace
    made: str
    asked: list[tuple[str, str]]
    figures: list[Figure]
    warnings: list[str]
    advice: Sequence[str]
    models: list[tuple[str, ...]]
    search: Search | None
    subnet: Subnet | None
    fits: list[Fit]
    health: Health | None
    block_shares: Sequence[float]
    curves: dict[str, Sequence[float]]
    machines: list[tuple[str, dict[str, Any]]]
    steps: list[dict[str, Any]]


def collect(run: Run, progress: Progress = SILENT) -> Report:
    """What a report of the run shows.

    Raises:
        InputError: there is no run.
        FileError: a file of the run is broken.
    """
    steps = run.read()["steps"]
    if not run.manifest.exists():
        raise InputError(f"There is no run in {run.path}.", field="run", value=run.path, step="quickstart")
    space, predictor = run.space(None), _searched(run)
    result = load_result(run.result, run.candidates) if run.result.exists() else None
    training, exports, health = read_training(run), read_exports(run), read_health(run)
    with refusing(run.manifest, "tells of a training what cannot be drawn"):
        curves = _curves(steps, training, result)
    trained_on = bool({_TUNING, _RETRAINING} & set(curves))
    search = None if result is None else search_shown(run, space, result, predictor, tuned=_TUNING in curves)
    profiles = collect_profiles(run, predictor, search.finalists if search else (), progress)
    return Report(
        name=run.path.name if run.path.is_absolute() else str(run.path),
        space=space,
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        asked=asked_for(run, space, result, training),
        figures=headline(result, profiles, training, exports),
        warnings=warnings_of(run, result, profiles, exports, health, training, trained_on=trained_on),
        advice=health.advice if health and trained_on else (),
        models=original_and_choice(read_shrunk(run)),
        search=search,
        subnet=None if result is None else result.choice.subnet,
        fits=profiles.fits,
        health=health,
        block_shares=(training or {}).get("block_shares", ()),
        curves=curves,
        machines=profiles.machines + [("The last step ran on", _libraries(step)) for step in steps[-1:]],
        steps=steps,
    )


def _searched(run: Run) -> Predictor | None:
    """The predictor that a search of the run takes; None if it has none."""
    try:
        return load_run_predictor(run)[0]
    except FileError:
        raise
    except InputError:
        return None


def _curves(
    steps: list[dict[str, Any]], training: dict[str, Any] | None, result: SearchResult | None
) -> dict[str, Sequence[float]]:
    """The losses that the run keeps: of the supernet, of the last search's choice, of the last retraining."""
    found: dict[str, Sequence[float]] = {}
    if training is not None:
        found["Supernet"] = [float(epoch["loss"]) for epoch in training["history"]]
    if result is not None:
        last = {step["step"]: step["settings"] for step in steps}
        tuned = last.get("search", {}).get("finetune") or {}
        for name, settings in ((_TUNING, tuned), (_RETRAINING, last.get("retrain", {}))):
            found[name] = from_json(list[float], settings.get("history", []), "history")
    return {name: losses for name, losses in found.items() if losses}


def _libraries(step: dict[str, Any]) -> dict[str, str]:
    return {"libraries": ", ".join(f"{name} {version}" for name, version in step["versions"].items())}
