"""Fitting and reporting predictors: of a profile, or of anybody's table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.predictors.features import Scale
from vitas_hw.predictors.predictor import Predictor, assemble, checked_examples, fit, save_predictor
from vitas_hw.predictors.registry import DEFAULT_KIND, KINDS, fit_model, kind_named
from vitas_hw.predictors.regression import FEWEST
from vitas_hw.predictors.report import FitReport, kinds_for, report
from vitas_hw.predictors.shipped import shipped
from vitas_hw.predictors.table import (
    TablePredictor,
    check_rows,
    fit_table,
    read_table,
)
from vitas_hw.profiling.profile import Profile, load_profile
from vitas_hw.report.predictor_card import predictor_card


@dataclass(frozen=True)
class Fitted:
    """A fitted predictor, its report and their files."""

    predictor: Predictor | TablePredictor
    report: FitReport
    path: Path
    report_path: Path
    plot_path: Path
    unit: str
    dropped: int


def fit_profile(
    profile_path: str | Path,
    *,
    kind: str = DEFAULT_KIND,
    output: Path = Path("predictors"),
    seed: int = 0,
    progress: Progress = SILENT,
) -> Fitted:
    """Fit a predictor to a profile and report every kind beside it.

    Args:
        profile_path: a profile's file, or the name of a shipped one.
        kind: of the predictor that is written.
        output: the folder to write to: ``<target>--<space>.json``; in ``reports/`` a report and a plot; in ``cards/``
            what it is for.
        seed: of folds and models; the same profile and seed give the same bytes.
        progress: where to report to.

    Raises:
        FileError: the profile is missing or broken.
        InputError: an unknown kind.
        VitasError: fewer than 20 subnets ran.
    """
    kind_named(kind)
    path = _profile_path(profile_path)
    profile = load_profile(path)
    rows = profile.ok
    inputs, measured = checked_examples(
        [row.subnet for row in rows], [row.latency_ms for row in rows], Scale.of(profile.target), FEWEST
    )
    floor = profile.noise_floor.mean if profile.noise_floor else None
    names = [kind, *(name for name in KINDS if name != kind)]
    with progress.step("cross-validating", len(names) + 1) as advance:
        found = report(inputs, measured, noise_floor=floor, kinds=names, seed=seed, on_kind=advance)
    predictor = assemble(
        kind,
        fit_model(kind, inputs, measured, seed),
        inputs.table,
        found.default.held_out_ms,
        measured,
        noise_floor=floor,
        target=profile.target,
        space=profile.space,
        profile_sha256=file_sha256(path),
        fingerprint=str(profile.environment.get("fingerprint", "")),
        seed=seed,
    )
    failed = len(profile.measurements) - len(rows)
    return _write(predictor, found, output / profile.name, "ms", failed, predictor_card(predictor, found.to_dict()))


def fit_csv(
    csv_path: Path,
    column: str,
    *,
    group: str | None = None,
    kind: str = DEFAULT_KIND,
    output: Path = Path("predictors"),
    seed: int = 0,
    progress: Progress = SILENT,
) -> Fitted:
    """Fit a predictor of one column of a CSV file from its other numeric columns, and report every kind beside it.

    Args:
        csv_path: a table with a header.
        column: to predict; positive.
        group: rows with one value of this column are held out together.
        kind: of the predictor that is written; ``lookup`` needs subnets, ``flops`` a column named mac or flop.
        output: the folder to write to: ``<file>--<column>.json``, and in ``reports/`` a report and a plot.
        seed: of folds and models.
        progress: where to report to.

    Raises:
        FileError: the file is missing or is no table.
        InputError: a column is not there, too few rows, or a kind that a table cannot have.
    """
    kind_named(kind)
    table = read_table(csv_path, column, group)
    check_rows(table)
    assert table.target is not None
    able = kinds_for(table.inputs)
    if kind not in able:
        raise InputError(f"The kind {kind!r} cannot be fitted to this table.", f"Possible: {', '.join(able)}.")
    names = [kind, *(name for name in able if name != kind)]
    with progress.step("cross-validating", len(names) + 1) as advance:
        found = report(
            table.inputs, table.target, noise_floor=None, kinds=names, groups=table.groups, seed=seed, on_kind=advance
        )
    predictor = fit_table(table, column, kind, seed, found.default.held_out_ms)
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in column)
    return _write(predictor, found, output / f"{csv_path.stem}--{safe}", column, table.dropped)


def _profile_path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".jsonl" or path.exists():
        return path
    known = {found.stem: found for found in sorted(shipped("profiles").glob("*.jsonl"))}
    if path.name not in known:
        raise FileError(f"There is no profile {str(name_or_path)!r}.", f"Shipped: {', '.join(known)}; or give a path.")
    return known[path.name]


def _write(
    predictor: Predictor | TablePredictor,
    found: FitReport,
    stem: Path,
    unit: str,
    dropped: int,
    card: str | None = None,
) -> Fitted:
    from vitas_hw.report.plots import plot_fit

    path = stem.with_name(f"{stem.name}.json")
    report_path, plot_path = (stem.parent / "reports" / f"{stem.name}{end}" for end in (".json", ".png"))
    try:
        plot_fit(
            found.measured_ms.tolist(),
            found.default.held_out_ms.tolist(),
            title=f"{found.default.kind}: mean error {found.default.scores['mape']:.1%}, noise floor"
            f" {'not measured' if found.noise_floor is None else format(found.noise_floor, '.1%')}",
            unit=unit,
            path=plot_path,
        )
        write_atomic(report_path, json.dumps(found.to_dict()) + "\n")
        if card is not None:
            write_atomic(stem.parent / "cards" / f"{stem.name}.md", card)
        save_predictor(predictor, path)  # last: where it is, the rest is too
    except OSError as error:
        raise InputError(f"Cannot write to {stem.parent}: {error.strerror}.", "Give another with --output.") from error
    return Fitted(predictor, found, path, report_path, plot_path, unit, dropped)


def fit_predictor(profile: Profile, kind: str = DEFAULT_KIND, *, path: Path | None = None, seed: int = 0) -> Predictor:
    """Fit a predictor to the subnets of a profile that ran.

    Args:
        profile: at least 20 measured subnets.
        kind: ``xgboost``, ``linear``, ``flops``, ``lookup`` or ``mlp``.
        path: the profile's file, whose hash the predictor keeps.
        seed: of folds and trees; the same profile and seed give the same predictor, byte for byte.

    Raises:
        InputError: an unknown kind.
        VitasError: too few subnets.
    """
    return fit(
        [measurement.subnet for measurement in profile.ok],
        [measurement.latency_ms for measurement in profile.ok],
        target=profile.target,
        space=profile.space,
        noise_floor=profile.noise_floor.mean if profile.noise_floor else None,
        profile_sha256=file_sha256(path) if path else "",
        fingerprint=str(profile.environment.get("fingerprint", "")),
        seed=seed,
        kind=kind,
    )
