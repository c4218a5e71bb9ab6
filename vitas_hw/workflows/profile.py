"""Profiling a device: sample subnets, measure them, fit a predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.predictor import FEWEST, Predictor, save_predictor
from vitas_hw.profiling.backend import open_backend
from vitas_hw.profiling.environment import check_device, environment
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import measure, noise_floor
from vitas_hw.profiling.profile import Profile, save_profile
from vitas_hw.profiling.timing import Timing
from vitas_hw.workflows.predict import fit_predictor
from vitas_hw.workflows.progress import SILENT, Progress
from vitas_hw.workflows.run import Run

_TIMING = Timing()
_FINALIST_TIMING = Timing(warmup_s=0.05, sample_s=0.1)
_FINALIST_ROUNDS = 5
_REPEAT_EVERY = 6  # one subnet in six is measured twice, for the noise floor
_MOST_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class ProfileSettings:
    """How to profile a device.

    Args:
        device: ``cpu``.
        device_name: its name in files; None takes the hardware's own.
        batch_size, threads: of each inference.
        num_subnets: how many to measure.
        rounds: visits to each, spread over the whole time.
        seed: of subnets and orders.
    """

    device: str = "cpu"
    device_name: str | None = None
    batch_size: int = 1
    threads: int = 1
    num_subnets: int = 120
    rounds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_subnets < FEWEST:
            raise InputError(f"--num-subnets {self.num_subnets} is too few: a predictor needs at least {FEWEST}.")
        if self.rounds < 1:
            raise InputError(f"--rounds must be at least 1, not {self.rounds}.")

    def target(self, space: SearchSpace) -> Target:
        """The target on this machine. Raises InputError if the device is not there."""
        own_name = check_device(self.device)
        return Target(
            self.device_name or own_name, "onnxruntime", "fp32", self.batch_size, self.threads, space.image_size
        )


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

    A profiling that was killed goes on where it was; one with more subnets extends the one there.

    Args:
        run: where files go.
        settings: device, target, how many subnets.
        space: name or YAML file; None is the run's, or the default.
        fresh: forget earlier timings of this target.
        progress: where to report to.

    Raises:
        InputError: the device is not there, or earlier timings were taken with other settings or elsewhere.
    """
    found = run.space(space)
    target = settings.target(found)
    stem = f"{target.slug}--{found.name}"
    journal_path = run.profiles / f"{stem}.journal.jsonl"
    if fresh:
        journal_path.unlink(missing_ok=True)
    run.begin(found)
    backend = open_backend(target, settings.device)
    about = environment({**asdict(_TIMING), "rounds": settings.rounds, "repeat_every": _REPEAT_EVERY})
    header = {
        "target": target.to_dict(),
        "space": found.to_dict(),
        "fingerprint": about["fingerprint"],
        "backend_version": backend.version,
        "settings": about["settings"],
        "seed": settings.seed,
    }
    journal = Journal.open(journal_path, header)
    subnets = subnets_to_profile(found, settings.num_subnets, settings.seed)
    repeats = subnets[::_REPEAT_EVERY]
    progress.note(f"profiling {len(subnets)} subnets of {found.name} on {target.slug}")
    with progress.step("measuring", settings.rounds * (len(subnets) + len(repeats))) as advance:
        both = [
            measure(
                backend,
                chosen,
                rounds=settings.rounds,
                timing=_TIMING,
                seed=settings.seed,
                journal=journal,
                name=name,
                on_visit=lambda: advance(""),
            )
            for name, chosen in (("first", subnets), ("second", repeats))
        ]
    result = Profile(target, found, about, noise_floor(both[0][::_REPEAT_EVERY], both[1]), tuple(both[0]))
    profile_path, predictor_path = run.profiles / f"{stem}.jsonl", run.predictors / f"{stem}.json"
    save_profile(result, profile_path)
    predictor = fit_predictor(result, path=profile_path, seed=settings.seed)
    save_predictor(predictor, predictor_path)
    run.record("profile", found, asdict(settings), [], [profile_path, predictor_path])
    return Profiled(result, predictor, profile_path, predictor_path)


def subnets_to_profile(space: SearchSpace, count: int, seed: int) -> list[Subnet]:
    """The extremes, the published subnets that lie in the space, then random ones of all depths; without repeats.

    A longer list begins with the shorter one of the same seed.

    Raises:
        VitasError: the space is too small for that many.
    """
    published = [subnet for subnet in map(published_subnet, PUBLISHED) if space.contains(subnet)]
    chosen = dict.fromkeys([space.smallest, space.largest, *published])
    rng = np.random.default_rng(seed)
    for _ in range(_MOST_DRAWS * count):
        if len(chosen) >= count:
            return list(chosen)[:count]
        chosen.setdefault(space.sample(rng, p_identity=rng.random()))
    raise VitasError(
        f"Found only {len(chosen)} different subnets in the space {space.name!r}, not {count}.",
        f"Try --num-subnets {len(chosen)}",
    )


def load_run_predictor(run: Run) -> tuple[Predictor, Path]:
    """The predictor fitted last in this run.

    Raises:
        InputError: there is none.
    """
    from vitas_hw.predictors.predictor import read_predictor

    for step in reversed(run.read()["steps"]):
        for name in step["outputs"]:
            path = run.path / name
            if step["step"] == "profile" and path.parent == run.predictors:
                return read_predictor(path), path
    raise InputError(f"The run {run.path} has no predictor.", "Run: vitas-hw profile")


def finalist_meter(target: Target, seed: int, progress: Progress) -> Callable[[Sequence[Subnet]], list[float]]:
    """Measures subnets side by side: p50 in milliseconds of interleaved rounds, longer than those of a profile.

    Raises VitasError when called, if the device refuses a subnet.
    """
    backend = open_backend(target, "cpu")

    def p50(subnets: Sequence[Subnet]) -> list[float]:
        with (
            TemporaryDirectory() as folder,
            progress.step("measuring finalists", _FINALIST_ROUNDS * len(subnets)) as go,
        ):
            found = measure(
                backend,
                subnets,
                rounds=_FINALIST_ROUNDS,
                timing=_FINALIST_TIMING,
                seed=seed,
                journal=Journal.open(Path(folder) / "journal.jsonl", {}),
                on_visit=lambda: go(""),
            )
        for measurement in found:
            if measurement.failed:
                raise VitasError(f"A finalist does not run on {target.slug}: {measurement.failed}")
        return [measurement.latency_ms for measurement in found]

    return p50
