"""Profiling a device: choose subnets, measure them, fit a predictor."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import what_decides
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.core.target import Target
from vitas_hw.predictors.active_learning import choose_next, keep_going
from vitas_hw.predictors.examples import FEWEST
from vitas_hw.predictors.predictor import Predictor, fit, save_predictor
from vitas_hw.predictors.transfer import transfer
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
    say_what_may_pass,
    say_what_slowed_the_gpu,
)
from vitas_hw.profiling.selection import choose_subnets
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.fit import fit_predictor, labelled, measured_of
from vitas_hw.workflows.profile.from_old_predictor import WouldHave, old_predictor, would_have
from vitas_hw.workflows.profile.settings import ProfileSettings

_FIRST = 2 * FEWEST
_GROWTH = 0.25  # of what is measured, in the next batch
_CANDIDATES = 4000


@dataclass(frozen=True)
class Profiled(Tabular):
    """A profiling and its files; what fewer or more subnets give, if it started from an old predictor; whether it is
    whole, and not cut by the time.
    """

    profile: Profile
    predictor: Predictor
    profile_path: Path
    predictor_path: Path
    would_have: tuple[WouldHave, ...] = ()
    whole: bool = True

    @property
    def title(self) -> str:
        return self.profile.title

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each subnet."""
        return self.profile.to_dicts()


@one_at_a_time
def profile(
    run: Run,
    settings: ProfileSettings,
    *,
    space: str | SearchSpace | None = None,
    fresh: bool = False,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> Profiled:
    """Measure subnets of the run's space on a device and fit a predictor for it.

    A profiling that was killed goes on where it was; one with more subnets or rounds extends the one there.

    Args:
        run: where files go.
        settings: device, target, how many subnets.
        space: itself, its name or YAML file; None is the run's, or the default.
        fresh: forget earlier timings of this target.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: the device is not there, or earlier timings were taken with other settings or elsewhere.
        VitasError: nothing runs on it, or too few were measured in the time for a predictor.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    found, whole = measured(run, settings, space, fresh, deadline, progress)
    return keep(run, found, settings, progress, whole=whole)


def measured(
    run: Run,
    settings: ProfileSettings,
    space: str | SearchSpace | None,
    fresh: bool,
    deadline: Deadline,
    progress: Progress,
) -> tuple[Profile, bool]:
    """The profile alone, neither saved nor fitted, and whether it is whole; arguments and errors are ``profile``'s."""
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
        if worker.shares_cores:
            progress.note("warning: Another measurement runs on the same cores of this machine, which slows both down.")
        journal = open_journal(path, place.target, found, about, settings.seed)
        progress.note(f"profiling {len(subnets)} subnets of {found.name} on {place.target.slug}")
        if not journal.attempts and not deadline.over():
            compare_with_fp32(place, settings.timeout_s, progress)

        whole = True

        def take(name: str, chosen: Sequence[Subnet], until: Deadline) -> list[Measurement]:
            nonlocal whole
            with progress.step("measuring", settings.rounds * len(chosen)) as advance:
                done = measure(
                    worker,
                    chosen,
                    rounds=settings.rounds,
                    seed=settings.seed,
                    journal=journal,
                    name=name,
                    on_round=lambda name, round_: journal.add_conditions(name, round_, watch.look()),
                    on_visit=lambda: advance(""),
                    time_is_up=until.over,
                )
            whole = whole and done
            return measurements(journal, chosen, name, settings.rounds)

        # one subnet in eight is visited again at the end, however little time there is
        first, grown = deadline.part(REPEAT_EVERY / (REPEAT_EVERY + 1)), dict[str, Any]()
        if settings.until is not None:
            subnets, grown = _grow(found, place.target, settings, lambda all_: take("first", all_, first), progress)
        else:
            ran = {measurement.subnet for measurement in take("first", subnets, first)}
            if len(ran) < len(subnets):
                progress.note(
                    f"time is up: {len(ran)} of {len(subnets)} subnets measured; repeat the command to resume"
                )
        take("second", [subnet for subnet in subnets[::REPEAT_EVERY] if grown or subnet in ran], deadline)
    watch.look()
    say_what_slowed_the_gpu(journal, progress)
    say_what_may_pass(journal, progress)
    result = profile_of(journal, place.target, found, about, subnets, settings.rounds)
    result = replace(result, environment={**result.environment, "grown": grown}) if grown else result
    return result, whole


def keep(
    run: Run, profile: Profile, settings: ProfileSettings, progress: Progress = SILENT, *, whole: bool = True
) -> Profiled:
    """Save a profile in the run and fit its predictor, from an old one if one is named."""
    profile_path = run.profiles / f"{profile.name}.jsonl"
    predictor_path = run.predictors / f"{profile.name}.json"
    save_profile(profile, profile_path)
    seed, tried = settings.seed, list[WouldHave]()
    with progress.step("fitting the predictor", 1) as advance:
        if settings.old is None:
            predictor = fit_predictor(profile, path=profile_path, seed=seed, statistic=settings.statistic)
        else:
            before = old_predictor(settings.old, profile.space)
            predictor = transfer(before, measured_of(profile, profile_path, settings.statistic), seed)
            tried = would_have(before, profile, seed)
        advance("")
    save_predictor(predictor, predictor_path)
    recorded = what_decides(settings) | {"num_subnets": settings.count, "whole": whole}
    run.record("profile", profile.space, recorded, [], [profile_path, predictor_path])
    return Profiled(profile, predictor, profile_path, predictor_path, tuple(tried), whole)


def _grow(
    space: SearchSpace,
    target: Target,
    settings: ProfileSettings,
    measure: Callable[[Sequence[Subnet]], Sequence[Measurement]],
    progress: Progress,
) -> tuple[list[Subnet], dict[str, Any]]:
    """Measure batches until the error on unseen subnets is reached, samples stop helping, or the most are measured.

    Args:
        space: where subnets come from; the first batch is spread over MACs.
        target: what is measured on.
        settings: the cross-validated MAPE to reach, the most subnets, the seed of the choices.
        measure: all subnets so far to their measurements; those that are known already are not measured again.
        progress: told after each batch.

    Returns:
        All that were measured, in order; the ``history`` of (subnets that ran, cross-validated MAPE) after each batch,
        and the ``reason`` why it stopped.
    """
    assert settings.until is not None
    most, seed = settings.count, settings.seed
    candidates = choose_subnets(space, min(_CANDIDATES, space.size // 2), seed + 1, "random")
    subnets = choose_subnets(space, min(_FIRST, most), seed)
    history: list[tuple[int, float]] = []
    while True:
        visited = measure(subnets)
        ran = [found for found in visited if not found.failed]
        cut = len(visited) < len(subnets)
        if cut:
            progress.note(
                f"time is up: {len(visited)} of {len(subnets)} subnets measured; repeat the command to resume"
            )
        known = labelled(ran, target, space)
        error = fit(known, seed=seed).metrics["mape"]
        assert error is not None
        history.append((len(ran), error))
        going, reason = keep_going(history, settings.until)
        if cut:
            going, reason = False, f"time is up; {reason}"
        if going and len(subnets) >= most:
            going, reason = False, f"{len(subnets)} subnets are measured, the most that was asked for; {reason}"
        progress.note(reason)
        if not going:
            return subnets, {"history": [list(step) for step in history], "reason": reason}
        batch = min(max(FEWEST, int(_GROWTH * len(subnets))), most - len(subnets))
        subnets = [*subnets, *choose_next(known, candidates, subnets, batch, seed=seed)]
