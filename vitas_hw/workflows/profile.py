"""Profiling a device: choose subnets, measure them, fit a predictor."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.predictor import FEWEST, Predictor, save_predictor
from vitas_hw.profiling.anchor import anchor_subnet
from vitas_hw.profiling.conditions import Conditions, snapshot, warnings
from vitas_hw.profiling.environment import environment
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measure, measurements, noise_floor
from vitas_hw.profiling.profile import Profile, save_profile
from vitas_hw.profiling.selection import SELECTIONS, choose_subnets, load_subnets
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import DEFAULT_TIMEOUT_S
from vitas_hw.workflows.predict import fit_predictor
from vitas_hw.workflows.progress import SILENT, Progress
from vitas_hw.workflows.run import Run
from vitas_hw.workflows.targets import Place, find_place

TIMING = Timing()
REPEAT_EVERY = 8  # one subnet in eight is measured twice, for the noise floor


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
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_subnets < FEWEST:
            raise InputError(f"--num-subnets {self.num_subnets} is too few: a predictor needs at least {FEWEST}.")
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
        """The subnets to measure."""
        if self.subnets in SELECTIONS:
            return choose_subnets(space, self.num_subnets, self.seed, self.subnets)
        given = load_subnets(self.subnets, space)
        if len(given) < FEWEST:
            raise InputError(f"{self.subnets} has {len(given)} subnets, too few: a predictor needs at least {FEWEST}.")
        return given


@dataclass(frozen=True)
class Profiled:
    """A finished profiling and its files."""

    profile: Profile
    predictor: Predictor
    profile_path: Path
    predictor_path: Path


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
    found = run.space(space)
    place = settings.place(found)
    subnets = settings.chosen(found)
    path = journal_path(run, place.target, found)
    if fresh:
        path.unlink(missing_ok=True)
    run.begin(found)
    watch = Watch(place, progress)
    watch.look()  # before any work of ours
    with place.worker(TIMING, settings.timeout_s) as worker:
        about = about_of(place, worker.start())
        journal = Journal.open(path, header_of(place.target, found, about, settings.seed))
        progress.note(f"profiling {len(subnets)} subnets of {found.name} on {place.target.slug}")
        if not journal.attempts:
            compare_with_fp32(place, settings.timeout_s, progress)
        repeats = subnets[::REPEAT_EVERY]
        with progress.step("measuring", settings.rounds * (len(subnets) + len(repeats))) as advance:
            for name, chosen in (("first", subnets), ("second", repeats)):
                measure(
                    worker,
                    chosen,
                    rounds=settings.rounds,
                    seed=settings.seed,
                    journal=journal,
                    name=name,
                    on_round=lambda name, round_: journal.add_conditions(name, round_, watch.look()),
                    on_visit=lambda: advance(""),
                )
    watch.look()
    result = profile_of(journal, place.target, found, about, subnets, settings.rounds)
    return keep(run, result, asdict(settings), settings.seed)


def profile_of(
    journal: Journal,
    target: Target,
    space: SearchSpace,
    about: dict[str, Any],
    subnets: Sequence[Subnet],
    rounds: int,
) -> Profile:
    """The profile that a journal's visits make, with its noise floor."""
    first = measurements(journal, subnets, "first", rounds)
    second = measurements(journal, subnets[::REPEAT_EVERY], "second", rounds)
    floor = noise_floor(first[::REPEAT_EVERY], second)
    about = {**about, "rounds": rounds, "conditions": journal.conditions}
    if journal.devices:  # several shared the work: the noise floor has the difference between them in it
        about["devices"] = sorted(set(journal.devices.values()))
    return Profile(target, space, about, floor, anchor_ms(journal) if journal.attempts else None, tuple(first))


def keep(run: Run, profile: Profile, settings: dict[str, Any], seed: int) -> Profiled:
    """Save a profile in the run and fit its predictor."""
    profile_path = run.profiles / f"{profile.name}.jsonl"
    predictor_path = run.predictors / f"{profile.name}.json"
    save_profile(profile, profile_path)
    predictor = fit_predictor(profile, path=profile_path, seed=seed)
    save_predictor(predictor, predictor_path)
    run.record("profile", profile.space, settings, [], [profile_path, predictor_path])
    return Profiled(profile, predictor, profile_path, predictor_path)


def journal_path(run: Run, target: Target, space: SearchSpace) -> Path:
    """Where the timings of a target and space are kept."""
    return run.profiles / f"{target.slug}--{space.name}.journal.jsonl"


def about_of(place: Place, backend_version: str) -> dict[str, Any]:
    """The environment of a profiling on this machine, as JSON types."""
    about = environment({**asdict(TIMING), "repeat_every": REPEAT_EVERY}, place.accelerator)
    return about | {"device": place.device, "backend_version": backend_version, "anchor": anchor_subnet_of(place)}


def anchor_subnet_of(place: Place) -> dict[str, Any]:
    """The anchor as JSON types."""
    return anchor_subnet(place.target.image_size).to_dict()


def header_of(target: Target, space: SearchSpace, about: dict[str, Any], seed: int) -> dict[str, Any]:
    """What must be the same for timings to belong together."""
    facts = {key: about[key] for key in ("fingerprint", "backend_version", "settings", "anchor")}
    return {"target": target.to_dict(), "space": space.to_dict(), "seed": seed, **facts}


def compare_with_fp32(place: Place, timeout_s: float, progress: Progress) -> None:
    """Say it if the precision asked for is slower than float32."""
    plain = place.in_fp32()
    if plain is None:
        return
    anchor = anchor_subnet(place.target.image_size)
    with place.worker(TIMING, timeout_s) as asked, plain.worker(TIMING, timeout_s) as fp32:
        took = asked.visit(anchor).anchor_ms
        took_fp32 = fp32.visit(anchor).anchor_ms
    if took > took_fp32:
        progress.note(
            f"{place.target.precision} is slower than fp32 here: {took:.3g} ms for the anchor against {took_fp32:.3g}"
        )


class Watch:
    """Looks at the machine and says each reason for mistrust once."""

    def __init__(self, place: Place, progress: Progress) -> None:
        self._device, self._threads = place.device, place.target.threads or 1
        self._progress = progress
        self._last: Conditions | None = None
        self._said: set[str] = set()

    def look(self) -> dict[str, Any]:
        """The machine now, as JSON types."""
        self._last = snapshot(self._device, self._last)
        for sentence in warnings(self._last, self._threads):
            kind = re.sub(r"[\d.]+", "", sentence)
            if kind not in self._said:
                self._said.add(kind)
                self._progress.note(f"warning: {sentence}")
        return self._last.to_dict()
