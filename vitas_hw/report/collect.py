"""The report of a run: everything that its directory tells, on one page."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.report.contents import Curve, Facts, Report, Step
from vitas_hw.report.fits import collect_profiles
from vitas_hw.report.headlines import asked_for, headline, warnings_of
from vitas_hw.report.page import render
from vitas_hw.report.runs import command_of
from vitas_hw.report.search import search_shown
from vitas_hw.runs.artifacts import read_exports, read_training
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult, load_result


@dataclass(frozen=True)
class Reported:
    """A written report."""

    path: Path
    report: Report


def report(run: Run, output: Path | None = None, *, progress: Progress = SILENT) -> Reported:
    """Write what a run has, as one HTML file that needs no network; what it has not done is left out.

    Args:
        run: with a manifest.
        output: the file; None is ``report.html`` in the run.
        progress: where to report to.

    Raises:
        InputError: there is no run, or ``output`` is a directory.
        FileError: a file of the run is broken.
        WriteError: the page cannot be written.
    """
    path = run.report if output is None else output
    if path.is_dir():
        hint = "Give a file, for example `output=report.html`."
        raise InputError(f"{path} is a directory.", hint, field="output", value=path, allowed="a file")
    found = collect(run, progress)
    write_atomic(path, render(found))
    return Reported(path, found)


def collect(run: Run, progress: Progress = SILENT) -> Report:
    """What a report of the run shows. Raises as ``report`` does."""
    steps = run.read()["steps"]
    if not run.manifest.exists():
        raise InputError(f"There is no run in {run.path}.", field="run", value=run.path, step="quickstart")
    space = run.space(None)
    result = load_result(run.result, run.candidates) if run.result.exists() else None
    profiles = collect_profiles(run, result, progress)
    training, exports = read_training(run), read_exports(run)
    return Report(
        name=run.path.name if run.path.is_absolute() else str(run.path),
        space=space,
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        asked=asked_for(run, space, result, training),
        figures=headline(result, profiles, training, exports),
        warnings=warnings_of(run, result, profiles, exports),
        search=None if result is None else search_shown(run, space, result, profiles),
        subnet=None if result is None else result.choice.subnet,
        fits=profiles.fits,
        curves=_curves(steps, training, result),
        machines=(*profiles.machines, *_libraries(steps)),
        steps=tuple(_step(step) for step in steps),
    )


def _curves(
    steps: list[dict[str, Any]], training: dict[str, Any] | None, result: SearchResult | None
) -> tuple[Curve, ...]:
    """The losses that the run keeps: of the supernet, of the last search's choice, of the last retraining."""
    found = []
    if training is not None:
        found.append(Curve("Supernet", tuple(float(epoch["loss"]) for epoch in training["history"])))
    last = {step["step"]: step["settings"] for step in steps}
    if result is not None:
        tuned = last.get("search", {}).get("finetune") or {}
        found.append(Curve("Fine-tuning of the choice", tuple(tuned.get("history", ()))))
        found.append(Curve("Retraining", tuple(last.get("retrain", {}).get("history", ()))))
    return tuple(curve for curve in found if curve.loss)


def _libraries(steps: list[dict[str, Any]]) -> list[Facts]:
    if not steps:
        return []
    versions = steps[-1]["versions"]
    return [Facts("The last step ran on", (("libraries", ", ".join(f"{name} {v}" for name, v in versions.items())),))]


def _step(step: dict[str, Any]) -> Step:
    return Step(
        name=step["step"],
        finished=step["finished"].replace("T", " ").replace("Z", " UTC"),
        command=command_of(step),
        settings=json.dumps(_short(step["settings"]), indent=1, ensure_ascii=False),
        inputs=step["inputs"],
        outputs=step["outputs"],
    )


def _short(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the losses of each epoch, which are drawn."""
    return {
        key: _short(value) if isinstance(value, dict) else value for key, value in settings.items() if key != "history"
    }
