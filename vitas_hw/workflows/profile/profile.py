"""Profiling a device: choose subnets, measure them, fit a predictor."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.examples import FEWEST
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import measure, measurements
from vitas_hw.profiling.place import Place, find_place
from vitas_hw.profiling.profile import Measurement, Profile, save_profile
from vitas_hw.profiling.recording import (
    REPEAT_EVERY,
    TIMING,
    Watch,
    about_of,
    compare_with_fp32,
    header_of,
    profile_of,
)
from vitas_hw.profiling.selection import SELECTIONS, choose_subnets, load_subnets
from vitas_hw.profiling.worker import DEFAULT_TIMEOUT_S
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.fit import fit_predictor
from vitas_hw.workflows.profile.from_old_predictor import (
    WouldHave,
    old_predictor,
    telling_subnets,
    transferred,
    would_have,
)
from vitas_hw.workflows.profile.until_accurate import Growth, grow


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """How to profile a device.

    Args:
        device: ``cpu``, ``cuda:0``, ``mps``, ``gpu``.
        backend: None takes the device's usual one.
        precision: of the weights and products: ``fp32``, ``fp16``, ``bf16``, ``int8``.
        device_name: its name in files; None takes the hardware's own.
        batch_size, threads: of each inference; threads count on a CPU only.
        num_subnets: how many to measure.
        subnets: ``stratified`` over MACs, ``random``, or a file of subnets.
        rounds: visits to each, spread over the whole time.
        timeout_s: of one visit; a subnet that takes longer has failed.
        until: the cross-validated error, a fraction, at which to stop; ``num_subnets`` is then the most to measure.
        old: name or file of a predictor of the same space, of any target, to start from: few subnets are enough then.
        max_time_s: stop after so many seconds with what is measured; the same command goes on.
        seed: of subnets and orders.
    """

    device: str = "cpu"
    backend: str | None = None
    precision: str = "fp32"
    device_name: str | None = None
    batch_size: int = 1
    threads: int = 1
    num_subnets: int = 120
    subnets: str = "stratified"
    rounds: int = 3
    timeout_s: float = DEFAULT_TIMEOUT_S
    until: float | None = None
    old: str | None = None
    max_time_s: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.until is not None and not 0 < self.until < 1:
            raise InputError(f"--until is a mean error between 0% and 100%, not {self.until:.3g}.", "Try --until 3%")
        if (self.until is not None or self.old is not None) and self.subnets != "stratified":
            raise InputError("--until and --from choose the subnets themselves.", "Leave out --subnets.")
        if self.until is not None and self.old is not None:
            raise InputError("--until fits a predictor anew, --from corrects an old one.", "Give one of them.")
        if self.num_subnets < FEWEST and self.old is None:
            raise InputError(f"--num-subnets {self.num_subnets} is too few: a predictor needs at least {FEWEST}.")
        if self.until is not None and self.max_time_s is not None:
            raise InputError("--until stops when the error is reached, --max-time by the clock.", "Give one of them.")
        if self.rounds < 1:
            raise InputError(f"--rounds must be at least 1, not {self.rounds}.")
        if not self.timeout_s > 0:
            raise InputError(f"--timeout must be positive, not {self.timeout_s:g}.")

    def place(self, space: SearchSpace) -> Place:
        """The target on this machine. Raises InputError or VitasError if it cannot be measured here."""
        return find_place(
            self.device,
            space.image_size,
            backend=self.backend,
            precision=self.precision,
            batch_size=self.batch_size,
            threads=self.threads,
            device_name=self.device_name,
        )

    def chosen(self, space: SearchSpace) -> list[Subnet]:
        """The subnets to measure; with ``until``, to begin with."""
        if self.old is not None:
            return telling_subnets(old_predictor(self.old, space), self.num_subnets, self.seed)
        if self.subnets in SELECTIONS:
            return choose_subnets(space, self.num_subnets, self.seed, self.subnets)
        given = load_subnets(self.subnets, space)
        if len(given) < FEWEST:
            raise InputError(f"{self.subnets} has {len(given)} subnets, too few: a predictor needs at least {FEWEST}.")
        return given


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
    settings: ProfileSettings = ProfileSettings(),  # frozen
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
    return keep(
        run,
        measured(run, settings, space=space, fresh=fresh, progress=progress),
        asdict(settings),
        settings.seed,
        settings.old,
        progress,
    )


def measured(
    run: Run,
    settings: ProfileSettings = ProfileSettings(),  # frozen
    *,
    space: str | None = None,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> Profile:
    """The profile alone, neither saved nor fitted; arguments and errors are those of ``profile``."""
    started = time.monotonic()
    found = run.space(space)
    place = settings.place(found)
    subnets = settings.chosen(found)
    path = run.journal(place.target, found)
    if fresh:
        path.unlink(missing_ok=True)
        shutil.rmtree(run.engines, ignore_errors=True)
    run.begin(found)
    watch = Watch(place, progress)
    watch.look()  # before any work of ours
    with place.worker(TIMING, settings.timeout_s, run.engines) as worker:
        about = about_of(place, worker.start())
        journal = Journal.open(path, header_of(place.target, found, about, settings.seed))
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

        growth = None
        if settings.until is not None:
            growth = _grow(found, place, settings, lambda chosen: take("first", chosen), progress)
            subnets = growth.subnets
        else:
            ran = {measurement.subnet for measurement in take("first", subnets, REPEAT_EVERY / (REPEAT_EVERY + 1))}
            if len(ran) < len(subnets):
                progress.note(f"time is up: {len(ran)} of {len(subnets)} subnets measured; the same command goes on")
        take("second", [subnet for subnet in subnets[::REPEAT_EVERY] if growth is not None or subnet in ran])
    watch.look()
    result = profile_of(journal, place.target, found, about, subnets, settings.rounds)
    if growth is not None:
        result = replace(result, environment={**result.environment, "grown": _growth_dict(growth)})
    return result


def keep(
    run: Run, profile: Profile, settings: dict[str, Any], seed: int, old: str | None = None, progress: Progress = SILENT
) -> Profiled:
    """Save a profile in the run and fit its predictor, from an old one if one is named."""
    profile_path = run.profiles / f"{profile.name}.jsonl"
    predictor_path = run.predictors / f"{profile.name}.json"
    save_profile(profile, profile_path)
    with progress.step("fitting the predictor", 1) as advance:
        if old is None:
            predictor, tried = fit_predictor(profile, path=profile_path, seed=seed), []
        else:
            before = old_predictor(old, profile.space)
            predictor, tried = transferred(before, profile, profile_path, seed), would_have(before, profile, seed)
        advance("")
    save_predictor(predictor, predictor_path)
    run.record("profile", profile.space, settings, [], [profile_path, predictor_path])
    return Profiled(profile, predictor, profile_path, predictor_path, tuple(tried))


def _grow(
    space: SearchSpace,
    place: Place,
    settings: ProfileSettings,
    take: Callable[[Sequence[Subnet]], Sequence[Measurement]],
    progress: Progress,
) -> Growth:
    assert settings.until is not None
    return grow(
        space,
        place.target,
        wanted=settings.until,
        most=settings.num_subnets,
        seed=settings.seed,
        measure=take,
        progress=progress,
    )


def _growth_dict(growth: Growth) -> dict[str, Any]:
    return {"history": [list(step) for step in growth.history], "reason": growth.reason}
