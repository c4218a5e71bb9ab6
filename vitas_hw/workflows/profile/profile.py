"""Profiling a device: choose subnets, measure them, fit a predictor."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import as_json
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.profiling.conditions import Watch
from vitas_hw.profiling.measure import measure, measurements
from vitas_hw.profiling.place import find_place
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.profiling.protocol import (
    REPEAT_EVERY,
    TIMING,
    compare_with_fp32,
    environment_of,
    open_journal,
    profile_of,
)
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.fit import fit_predictor
from vitas_hw.workflows.profile.from_old_predictor import WouldHave, old_predictor, transferred, would_have
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.profile.until_accurate import Growth, grow


@dataclass(frozen=True)
class Profiled:
    """A finished profiling and its files; what fewer or more subnets give, if it started from an old predictor."""

    profile: Profile
    predictor: Predictor
    profile_path: Path
    predictor_path: Path
    would_have: tuple[WouldHave, ...] = ()


@one_at_a_time
def profile(
    run: Run,
    settings: ProfileSettings,
    *,
    space: str | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Profiled:
    """Measure subnets of the run's space on a device and fit a predictor for it.

    A profiling that was killed goes on where it was; one with more subnets or rounds extends the one there.

    Args:
        run: where files go.
        settings: device, target, how many subnets.
        space: name or YAML file; None is the run's, or the default.
        fresh: forget earlier timings of this target.
        progress: where to report to.

    Raises:
        InputError: the device is not there, or earlier timings were taken with other settings or elsewhere.
        VitasError: nothing runs on it.
    """
    return keep(run, measured(run, settings, space=space, fresh=fresh, progress=progress), settings, progress)


def measured(
    run: Run,
    settings: ProfileSettings,
    *,
    space: str | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Profile:
    """The profile alone, neither saved nor fitted; arguments and errors are those of ``profile``."""
    started = time.monotonic()
    found = run.space(space)
    place = find_place(settings, found.image_size)
    subnets = settings.chosen(found)
    path = run.journal(place.target, found)
    if fresh:
        path.unlink(missing_ok=True)
        shutil.rmtree(run.engines, ignore_errors=True)
    run.begin(found)
    watch = Watch(place.device, place.target.threads or 1, progress)
    watch.look()  # before any work of ours
    with place.worker(TIMING, settings.timeout_s, run.engines) as worker:
        about = environment_of(place, worker.start())
        journal = open_journal(path, place.target, found, about, settings.seed)
        progress.note(f"profiling {len(subnets)} subnets of {found.name} on {place.target.slug}")
        if not journal.attempts:
            compare_with_fp32(place, settings.timeout_s, progress)

        def take(name: str, chosen: Sequence[Subnet], share: float = 1.0) -> list[Measurement]:
            """Until that share of the time is over."""
            until = math.inf if settings.max_time_s is None else started + share * settings.max_time_s
            with progress.step("measuring", settings.rounds * len(chosen)) as advance:
                measure(
                    worker,
                    chosen,
                    rounds=settings.rounds,
                    seed=settings.seed,
                    journal=journal,
                    name=name,
                    on_round=lambda name, round_: journal.add_conditions(name, round_, watch.look()),
                    on_visit=lambda: advance(""),
                    time_is_up=lambda: time.monotonic() > until,
                )
            return measurements(journal, chosen, name, settings.rounds)

        growth: Growth | None = None
        if settings.until is not None:
            growth = grow(found, place.target, settings, lambda chosen: take("first", chosen), progress)
            subnets = growth.subnets
        else:
            ran = {measurement.subnet for measurement in take("first", subnets, REPEAT_EVERY / (REPEAT_EVERY + 1))}
            if len(ran) < len(subnets):
                progress.note(f"time is up: {len(ran)} of {len(subnets)} subnets measured; the same command goes on")
        take("second", [subnet for subnet in subnets[::REPEAT_EVERY] if growth is not None or subnet in ran])
    watch.look()
    result = profile_of(journal, place.target, found, about, subnets, settings.rounds)
    if growth is None:
        return result
    grown = {"history": [list(step) for step in growth.history], "reason": growth.reason}
    return replace(result, environment={**result.environment, "grown": grown})


def keep(run: Run, profile: Profile, settings: ProfileSettings, progress: Progress = SILENT) -> Profiled:
    """Save a profile in the run and fit its predictor, from an old one if one is named."""
    profile_path = run.profiles / f"{profile.name}.jsonl"
    predictor_path = run.predictors / f"{profile.name}.json"
    save_profile(profile, profile_path)
    seed, tried = settings.seed, list[WouldHave]()
    with progress.step("fitting the predictor", 1) as advance:
        if settings.old is None:
            predictor = fit_predictor(profile, path=profile_path, seed=seed)
        else:
            before = old_predictor(settings.old, profile.space)
            predictor, tried = transferred(before, profile, profile_path, seed), would_have(before, profile, seed)
        advance("")
    save_predictor(predictor, predictor_path)
    recorded = as_json(settings) | {"num_subnets": settings.count}
    run.record("profile", profile.space, recorded, [], [profile_path, predictor_path])
    return Profiled(profile, predictor, profile_path, predictor_path, tuple(tried))
