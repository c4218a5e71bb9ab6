"""A run's profiles and predictors, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.records import refusing
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.examples import FEWEST, Measured
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, read_predictor
from vitas_hw.predictors.registry import held_out_predictions
from vitas_hw.profiling.conditions import Conditions, warnings
from vitas_hw.profiling.labels import ProfileLabels
from vitas_hw.profiling.profile import Profile, load_profile
from vitas_hw.report.search import Point
from vitas_hw.runs.directory import Run


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A predictor beside the measurements of its profile; N subnets, milliseconds.

    Args:
        target: its slug.
        kind: of the predictor.
        subnets: (N,) that were measured.
        measured_ms, predicted_ms: (N,).
        held_out: whether each prediction is of a model that had not seen the measurement.
        noise_floor: mean relative difference of two measurements of a subnet; None was not measured.
        scores: MAPE, within 10%, Kendall's tau of the held-out predictions.
        finalists: of a search on this target: measured after the predictor was fitted.
    """

    target: str
    kind: str
    subnets: tuple[Subnet, ...]
    measured_ms: tuple[float, ...]
    predicted_ms: tuple[float, ...]
    held_out: bool
    noise_floor: float | None
    scores: dict[str, float | None]
    finalists: Sequence[Point]

    @property
    def floor_words(self) -> str:
        return "not measured" if self.noise_floor is None else f"{self.noise_floor:.1%}"


@dataclass(frozen=True)
class Profiles:
    """What the profiles of a run say.

    Args:
        fits: each predictor beside its profile; the search's first.
        machines: what they were measured on: a title, names and values.
        doubts: why a measurement is not to be trusted, a sentence each.
    """

    fits: list[Fit]
    machines: list[tuple[str, dict[str, Any]]]
    doubts: list[str]


def collect_profiles(run: Run, searched: Predictor | None, finalists: Sequence[Point], progress: Progress) -> Profiles:
    """Read every profile of the run and predict each of its subnets by a model that has not seen it.

    Args:
        run: with profiles and their predictors.
        searched: the predictor that a search of this run takes.
        finalists: measured by that search.
        progress: where to report to.

    Raises:
        FileError: a profile or a predictor is broken.
    """
    name = None if searched is None else searched.name
    paths = sorted(
        (path for path in run.profiles.glob("*.jsonl") if not path.name.endswith(".journal.jsonl")),
        key=lambda path: (name not in (None, path.stem), path.name),
    )
    found = Profiles([], [], [])
    with progress.step("cross-validating", len(paths)) as advance:
        for path in paths:
            profile = load_profile(path)
            with refusing(path, "does not describe its machine", step="profile"):
                found.machines.append((profile.target.slug, _machine(profile)))
                found.doubts.extend(_doubts(profile))
            predictor_path = run.predictors / f"{path.stem}.json"
            if predictor_path.exists():
                predictor = read_predictor(predictor_path)
                if predictor.profile_sha256 != file_sha256(path):
                    found.doubts.append(
                        f"The predictor {predictor.name} was fitted to another profile than the one here."
                    )
                found.fits.append(_fit(profile, predictor, finalists if predictor.name == name else ()))
            advance(path.stem)
    return found


def _fit(profile: Profile, predictor: Predictor, finalists: Sequence[Point]) -> Fit:
    rows, seed = profile.ok, predictor.regression.seed
    labels = ProfileLabels(rows, predictor.statistic)
    subnets, measured = [row.subnet for row in rows], labels(np.arange(len(rows))).measured
    held_out = predictor.kind in KINDS and len(rows) >= FEWEST
    if held_out:
        examples = Measured(subnets, measured, profile.target, profile.space, labeller=labels).examples()
        measured = examples.tested(seed).measured
        predicted = held_out_predictions(predictor.kind, examples, seed)
    else:  # a transferred predictor was corrected by all of them, one of an older kind is fitted no longer
        predicted = predictor.predict(subnets).latency_ms
    return Fit(
        target=profile.target.slug,
        kind=predictor.kind,
        subnets=tuple(subnets),
        measured_ms=tuple(measured.tolist()),
        predicted_ms=tuple(predicted.tolist()),
        held_out=held_out,
        noise_floor=profile.noise_floor.mean if profile.noise_floor else None,
        scores=predictor.metrics,
        finalists=finalists,
    )


def _machine(profile: Profile) -> dict[str, Any]:
    about, target = profile.environment, profile.target
    hardware, libraries = about.get("hardware", {}), about.get("libraries", {})
    return {
        "hardware": hardware.get("accelerator") or hardware.get("cpu") or "not recorded",
        "backend": f"{target.backend} {about.get('backend_version', '')}".strip(),
        "precision, batch": f"{target.precision}, {target.batch_size}",
        "threads": "-" if target.threads is None else target.threads,
        "logical CPUs": hardware.get("cpus", "-"),
        **_gpu_rows(about),
        "system": about.get("system", "not recorded"),
        "Python": about.get("python", "not recorded"),
        "subnets measured": f"{len(profile.ok)} of {len(profile.measurements)}, rounds: {about.get('rounds', '-')}",
        "noise floor": _floor(profile),
        "anchor p50": "none" if profile.anchor_ms is None else f"{profile.anchor_ms:.3g} ms",
        "fingerprint": about.get("fingerprint", "not recorded"),
        "libraries": ", ".join(f"{name} {value}" for name, value in libraries.items()) or "not recorded",
    }


def _gpu_rows(about: dict[str, Any]) -> dict[str, str]:
    """Of a profile of an NVIDIA GPU: what was set on it, and what it did while subnets were timed."""
    hardware, seen = about.get("hardware", {}), about.get("gpu_during_visits")
    rows = {}
    if "driver" in hardware:
        limit = f", {hardware['power_limit_w']} W" if "power_limit_w" in hardware else ""
        rows["GPU's driver, power limit"] = f"{hardware['driver']}{limit}"
    if "accelerator" in hardware and "cpu" in hardware:
        rows["CPU beside it"] = hardware["cpu"]
    if seen is not None:
        told = {"sm_mhz": "clock {0[0]:.0f}, {0[1]:.0f}, {0[2]:.0f} MHz (lowest, median, highest)"}
        told |= {"temperature_c": "at most {0:.0f} °C", "power_w": "at most {0:.0f} W"}
        parts = [text.format(seen[name]) for name, text in told.items() if seen[name] is not None]
        slowed = [f"{name} in {share:.0%} of the visits" for name, share in seen["throttling"].items()]
        rows["GPU during visits"] = "; ".join([*parts, f"slowed down: {', '.join(slowed) or 'never'}"])
    return rows


def _floor(profile: Profile) -> str:
    floor = profile.noise_floor
    if floor is None:
        return "not measured"
    median = "" if floor.median is None else f", median {floor.median:.1%}"
    return f"mean {floor.mean:.1%}{median}, 90th percentile {floor.p90:.1%} ({floor.pairs} pairs)"


def _doubts(profile: Profile) -> list[str]:
    """What the machine said of itself while it was measured, each kind of sentence once."""
    slug, found = profile.target.slug, []
    failed = len(profile.measurements) - len(profile.ok)
    if failed:
        found.append(f"{failed} of {len(profile.measurements)} subnets did not run on {slug}.")
    if profile.noise_floor is None:
        found.append(f"The noise floor of {slug} was not measured, so its prediction error cannot be judged.")
    if profile.anchor_ms is None:
        found.append(f"No anchor was timed on {slug}: drift of the machine is not corrected for.")
    said: dict[str, str] = {}
    conditions = TypeAdapter(Conditions)
    for entry in profile.environment.get("conditions", []):
        for sentence in warnings(conditions.validate_python(entry["conditions"]), profile.target.threads or 1):
            said.setdefault(sentence.split(",")[0], sentence)
    return found + [f"While {slug} was measured: {sentence}" for sentence in said.values()]
