"""Fitting and reporting predictors: of a profile, or of anybody's table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.kinds import DEFAULT_KIND
from vitas_hw.predictors.predictor import Predictor, fit, save_predictor
from vitas_hw.predictors.registry import fit_model
from vitas_hw.predictors.report import FitReport, kinds_for, noise_floor_text, report
from vitas_hw.predictors.shipped import shipped_file
from vitas_hw.predictors.table import TablePredictor, fit_table, read_table
from vitas_hw.profiling.profile import Profile, load_profile
from vitas_hw.report.plots import plot_fit
from vitas_hw.report.predictor_card import predictor_card
from vitas_hw.workflows.fit_settings import FitSettings


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor, its report and their files; ``dropped`` examples failed or were incomplete."""

    predictor: Predictor | TablePredictor
    report: FitReport
    path: Path
    report_path: Path
    plot_path: Path
    dropped: int


def fit_and_report(asked: FitSettings, progress: Progress = SILENT) -> Fitted:
    """Fit a predictor and report every kind on held-out examples beside it.

    Raises:
        FileError: the profile or the table is missing or broken.
        InputError: a column is not there, too few rows, or a kind that a table cannot have.
        VitasError: fewer than 20 subnets ran.
    """
    kind, seed = asked.kind, asked.seed
    if asked.profile is not None:
        path = shipped_file("profiles", asked.profile, ".jsonl")
        profile = load_profile(path)
        measured = measured_of(profile, path)
        examples, floor = measured.examples(), measured.noise_floor
        name, unit, dropped = profile.name, "ms", len(profile.measurements) - len(profile.ok)
    else:
        assert asked.csv is not None
        assert asked.column is not None
        table = read_table(asked.csv, asked.column, asked.group)
        examples, floor, dropped, unit = table.examples(), None, table.dropped, asked.column
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in unit)
        name = f"{asked.csv.stem}--{safe}"
    kinds = kinds_for(examples.table, kind)
    with progress.step("cross-validating", len(kinds) + 1) as advance:
        found = report(examples, kinds, noise_floor=floor, seed=seed, on_kind=advance)
    held_out = found.default.held_out_ms
    predictor: Predictor | TablePredictor
    if asked.profile is not None:
        predictor = Predictor.of(measured, examples, kind, fit_model(kind, examples, seed), held_out, seed)
    else:
        predictor = fit_table(table, unit, kind, seed, held_out)
    reports = asked.output / "reports"
    path, report_path, plot_path = asked.output / f"{name}.json", reports / f"{name}.json", reports / f"{name}.png"
    done = Fitted(predictor, found, path, report_path, plot_path, dropped)
    _write(done, unit)
    return done


def _write(done: Fitted, unit: str) -> None:
    best, folder = done.report.default, done.path.parent
    floor = noise_floor_text(done.report.noise_floor)
    title = f"{best.kind}: mean error {best.scores['mape']:.1%}, noise floor {floor}"
    measured, predicted = done.report.measured_ms.tolist(), best.held_out_ms.tolist()
    about = done.report.to_dict()
    try:
        plot_fit(measured, predicted, title=title, unit=unit, path=done.plot_path)
        write_atomic(done.report_path, json.dumps(about) + "\n")
        if isinstance(done.predictor, Predictor):
            write_atomic(folder / "cards" / f"{done.path.stem}.md", predictor_card(done.predictor, about))
        save_predictor(done.predictor, done.path)  # last: where it is, the rest is too
    except OSError as error:
        problem = f"Cannot write to {folder}: {error.strerror}."
        raise InputError(problem, "Give another `output`.", field="output", value=folder) from error


def measured_of(profile: Profile, path: Path | None = None) -> Measured:
    """The subnets of a profile that ran; a predictor of them keeps the hash of the profile's file."""
    return Measured(
        [measurement.subnet for measurement in profile.ok],
        [measurement.latency_ms for measurement in profile.ok],
        target=profile.target,
        space=profile.space,
        noise_floor=profile.noise_floor.mean if profile.noise_floor else None,
        profile_sha256=file_sha256(path) if path else "",
        fingerprint=str(profile.environment.get("fingerprint", "")),
    )


def fit_predictor(profile: Profile, kind: str = DEFAULT_KIND, *, path: Path | None = None, seed: int = 0) -> Predictor:
    """Fit a predictor to the subnets of a profile that ran.

    Args:
        profile: at least 20 measured subnets.
        kind: ``xgboost``, ``linear`` or ``flops``.
        path: the profile's file, whose hash the predictor keeps.
        seed: of folds and trees; the same profile and seed give the same predictor, byte for byte.

    Raises:
        InputError: a kind that cannot be fitted.
        VitasError: too few subnets.
    """
    return fit(measured_of(profile, path), kind, seed)
