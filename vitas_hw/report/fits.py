"""A run's profiles and predictors, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.predictors.examples import FEWEST, Measured
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, read_predictor
from vitas_hw.predictors.registry import held_out_predictions
from vitas_hw.profiling.conditions import Conditions, warnings
from vitas_hw.profiling.profile import Profile, load_profile
from vitas_hw.report.contents import Facts, Fit, Point
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult


@dataclass(frozen=True)
class Profiles:
    """What the profiles of a run say.

    Args:
        fits: each predictor beside its profile; the search's first.
        machines: what they were measured on.
        doubts: why a measurement is not to be trusted, a sentence each.
        searched: the predictor that a search of this run takes; None without one.
    """

    fits: tuple[Fit, ...] = ()
    machines: tuple[Facts, ...] = ()
    doubts: tuple[str, ...] = ()
    searched: Predictor | None = None


def collect_profiles(run: Run, result: SearchResult | None, progress: Progress) -> Profiles:
    """Read every profile of the run and predict each of its subnets by a model that has not seen it.

    Raises:
        FileError: a profile or a predictor is broken.
    """
    searched = _searched(run)
    paths = sorted(
        (path for path in run.profiles.glob("*.jsonl") if not path.name.endswith(".journal.jsonl")),
        key=lambda path: (searched is None or path.stem != searched.name, path.name),
    )
    fits, machines, doubts = [], [], []
    with progress.step("cross-validating", len(paths)) as advance:
        for path in paths:
            profile = load_profile(path)
            machines.append(_machine(profile))
            doubts += _doubts(profile)
            predictor_path = run.predictors / f"{path.stem}.json"
            if predictor_path.exists():
                predictor = read_predictor(predictor_path)
                if predictor.profile_sha256 != file_sha256(path):
                    doubts.append(f"The predictor {predictor.name} was fitted to another profile than the one here.")
                is_searched = searched is not None and predictor.name == searched.name
                fits.append(_fit(profile, predictor, _finalists(result) if is_searched and result else ()))
            advance(path.stem)
    return Profiles(tuple(fits), tuple(machines), tuple(doubts), searched)


def _searched(run: Run) -> Predictor | None:
    try:
        return load_run_predictor(run)[0]
    except FileError:
        raise
    except InputError:  # it has none
        return None


def _fit(profile: Profile, predictor: Predictor, finalists: Sequence[Point]) -> Fit:
    rows = profile.ok
    subnets, measured = [row.subnet for row in rows], np.array([row.latency_ms for row in rows])
    held_out = predictor.kind in KINDS and len(rows) >= FEWEST
    if held_out:
        examples = Measured(subnets, measured, profile.target, profile.space).examples()
        measured = examples.measured
        predicted = held_out_predictions(predictor.kind, examples, predictor.regression.seed)
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
        scores=dict(predictor.metrics),
        failed=len(profile.measurements) - len(rows),
        finalists=tuple(finalists),
    )


def _finalists(result: SearchResult) -> list[Point]:
    return [
        Point(number=number, subnet=one.subnet, score=one.score, predicted_ms=one.predicted_ms, measured_ms=measured)
        for number, one in enumerate(result.candidates, 1)
        if (measured := result.measured_ms.get(one.subnet.digest)) is not None
    ]


def _machine(profile: Profile) -> Facts:
    about, target = profile.environment, profile.target
    hardware, libraries = about.get("hardware", {}), about.get("libraries", {})
    measured = f"{len(profile.ok)} of {len(profile.measurements)}, rounds: {about.get('rounds', '-')}"
    rows = {
        "hardware": hardware.get("accelerator") or hardware.get("cpu") or "not recorded",
        "backend": f"{target.backend} {about.get('backend_version', '')}".strip(),
        "precision, batch": f"{target.precision}, {target.batch_size}",
        "threads": "-" if target.threads is None else target.threads,
        "logical CPUs": hardware.get("cpus", "-"),
        "system": about.get("system", "not recorded"),
        "Python": about.get("python", "not recorded"),
        "subnets measured": measured,
        "noise floor": _floor(profile),
        "anchor p50": "none" if profile.anchor_ms is None else f"{profile.anchor_ms:.3g} ms",
        "fingerprint": about.get("fingerprint", "not recorded"),
        "libraries": ", ".join(f"{name} {value}" for name, value in libraries.items()) or "not recorded",
    }
    return Facts(target.slug, tuple((name, str(value)) for name, value in rows.items()))


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
