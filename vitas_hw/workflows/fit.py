"""Fitting and reporting predictors: of a profile, or of anybody's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import DEFAULT_STATISTIC, P50, QUIET, checked_statistic
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.core.target import Target
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.features import Floats
from vitas_hw.predictors.kinds import DEFAULT_KIND
from vitas_hw.predictors.predictor import Predictor, TablePredictor, fit, fit_table, save_predictor
from vitas_hw.predictors.report import FitReport, kinds_for, noise_floor_text, report
from vitas_hw.predictors.shipped import shipped_file
from vitas_hw.predictors.table import read_table
from vitas_hw.profiling.labels import ProfileLabels
from vitas_hw.profiling.profile import Measurement, Profile, load_profile
from vitas_hw.report.predictor_card import predictor_card
from vitas_hw.workflows.fit_settings import FitSettings


@dataclass(frozen=True)
class Fitted(Tabular):
    """A fitted predictor, its report and their files; ``dropped`` examples failed or were incomplete."""

    predictor: Predictor | TablePredictor
    report: FitReport
    path: Path
    report_path: Path
    plot_path: Path
    dropped: int

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each kind: its errors on examples that it had not seen."""
        return [{"kind": one.kind, **one.scores} for one in self.report.kinds]


def fit_and_report(asked: FitSettings, progress: Progress = SILENT) -> Fitted:
    """Fit a predictor and report every kind on held-out examples beside it.

    Raises:
        FileError: the profile or the table is missing or broken.
        InputError: a column is not there, too few rows, or a kind that a table cannot have.
        VitasError: fewer than 20 subnets ran.
        WriteError: there is no room, or no permission.
    """
    kind, seed = asked.kind, asked.seed
    if asked.profile is not None:
        path = shipped_file("profiles", asked.profile, ".jsonl")
        profile = load_profile(path)
        measured = measured_of(profile, path, asked.statistic)
        examples, floor = measured.examples(), measured.noise_floor
        name, unit, dropped = profile.name, "ms", len(profile.measurements) - len(profile.ok)
        fit_it: Callable[[str, int, Floats], Predictor | TablePredictor] = partial(fit, measured)
    else:
        assert asked.csv is not None
        assert asked.column is not None
        table = read_table(asked.csv, asked.column, asked.group)
        examples, floor, dropped, unit = table.examples(), None, table.dropped, asked.column
        fit_it = partial(fit_table, table, unit)
        safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in unit)
        name = f"{asked.csv.stem}--{safe}"
    kinds = kinds_for(examples.table, kind)
    with progress.step("cross-validating", len(kinds) + 1) as advance:
        found = report(examples, kinds, noise_floor=floor, seed=seed, on_kind=advance)
    best, about = found.kinds[0], found.to_dict()
    predictor = fit_it(kind, seed, best.held_out_ms)
    reports = asked.output / "reports"
    path, report_path, plot_path = asked.output / f"{name}.json", reports / f"{name}.json", reports / f"{name}.png"
    from vitas_hw.report.plots import plot_fit  # loads matplotlib

    own = "" if best.apart is None else f" (of the model {best.apart.model:.1%})"
    title = f"{best.kind}: mean error {best.scores['mape']:.1%}{own}, noise floor {noise_floor_text(floor)}"
    plot_fit(found.measured_ms.tolist(), best.held_out_ms.tolist(), title=title, unit=unit, path=plot_path)
    write_atomic(report_path, json.dumps(about) + "\n")
    if isinstance(predictor, Predictor):
        write_atomic(asked.output / "cards" / f"{name}.md", predictor_card(predictor, about))
    save_predictor(predictor, path)  # last: where it is, the rest is too
    return Fitted(predictor, found, path, report_path, plot_path, dropped)


def measured_of(profile: Profile, path: Path | None = None, statistic: str = DEFAULT_STATISTIC) -> Measured:
    """The subnets of a profile that ran; a predictor of them keeps the hash of the profile's file."""
    floors = {P50: profile.noise_floor, QUIET: profile.quiet.floor if profile.quiet else None}
    floor = floors.get(statistic)  # of p90s nothing is known
    found = labelled(profile.ok, profile.target, profile.space, statistic)
    return replace(
        found,
        noise_floor=floor.mean if floor else None,
        profile_sha256=file_sha256(path) if path else "",
        fingerprint=str(profile.environment.get("fingerprint", "")),
    )


def labelled(
    rows: Sequence[Measurement], target: Target, space: SearchSpace, statistic: str = DEFAULT_STATISTIC
) -> Measured:
    """Measurements with samples, of different subnets, with what their visits say together."""
    labels = ProfileLabels(rows, statistic)
    measured = labels(np.arange(len(rows))).measured if rows else np.empty(0)
    return Measured([row.subnet for row in rows], measured, target, space, labeller=labels, statistic=statistic)


def fit_predictor(
    profile: Profile,
    kind: str = DEFAULT_KIND,
    *,
    path: Path | None = None,
    seed: int = 0,
    statistic: str = DEFAULT_STATISTIC,
) -> Predictor:
    """Fit a latency predictor to a profile.

    Args:
        profile: with at least 20 measured subnets; failed ones are ignored.
        kind: ``xgboost``, ``linear`` or ``flops``.
        statistic: latency to predict: ``p50``, ``p90``, or ``quiet``, on the machine at its quietest.
        path: the profile's file; the predictor records its hash.
        seed: for folds and trees; the same profile and seed give the same predictor, byte for byte.

    Raises:
        InputError: an unknown kind or statistic.
        VitasError: too few subnets.

    Example:
        >>> profile = vh.load_profile("profile.jsonl")
        >>> vh.fit_predictor(profile, kind="linear").samples == len(profile.ok)
        True
    """
    checked_statistic(statistic)
    return fit(measured_of(profile, path, statistic), kind, seed)
