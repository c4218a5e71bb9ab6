"""How every profiling is made, on one machine or many: its timing and repeats, what must stay the same, its profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitas_hw.core.deadline import NEVER, Deadline
from vitas_hw.core.progress import Progress
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.environment import environment
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measure, measurements, noise_floor
from vitas_hw.profiling.nvidia import summary
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet
from vitas_hw.profiling.timing import Timing, anchor_subnet

TIMING = Timing()
LONGER = Timing(sample_s=0.2, anchor_samples=5)
REPEAT_EVERY = 8  # one subnet in eight is measured twice, for the noise floor


def environment_of(place: Place, backend_version: str) -> dict[str, Any]:
    """The environment of a profiling on this machine, as JSON types."""
    settings = {**place.timing(TIMING).to_dict(), "repeat_every": REPEAT_EVERY}
    about = environment(settings, place.accelerator, **place.beside)
    anchor = anchor_subnet(place.target.image_size).to_dict()
    return about | {"device": place.device, "backend_version": backend_version, "anchor": anchor}


def open_journal(path: Path, target: Target, space: SearchSpace, about: dict[str, Any], seed: int) -> Journal:
    """The journal of a profiling, which says what must be the same for timings to belong together."""
    facts = {key: about[key] for key in ("fingerprint", "backend_version", "settings", "anchor")}
    return Journal.open(path, {"target": target.to_dict(), "space": space.to_dict(), "seed": seed, **facts})


def profile_of(
    journal: Journal,
    target: Target,
    space: SearchSpace,
    about: dict[str, Any],
    subnets: Sequence[Subnet],
    rounds: int,
) -> Profile:
    """The profile that a journal's visits make, with its noise floor; no row of a subnet that was not visited."""
    first = measurements(journal, subnets, "first", rounds)
    second = measurements(journal, subnets[::REPEAT_EVERY], "second", rounds)
    floor = noise_floor(first, second)
    about = {**about, "rounds": rounds, "conditions": journal.conditions}
    gpu = gpu_during(journal)
    if gpu is not None:
        about["gpu_during_visits"] = gpu
    if journal.devices:  # several shared the work: the noise floor has the difference between them in it
        about["devices"] = sorted(set(journal.devices.values()))
    usual_ms = anchor_ms(journal) if journal.attempts else None
    return with_quiet(Profile(target, space, about, floor, usual_ms, tuple(first)), second)


def gpu_during(journal: Journal) -> dict[str, Any] | None:
    """What the GPU did during the visits, see ``nvidia.summary``."""
    return summary(visit.gpu for visits in journal.attempts.values() for visit in visits)


def say_what_slowed_the_gpu(journal: Journal, progress: Progress) -> None:
    """Say in how many visits the GPU ran slower than it could, and why."""
    found = gpu_during(journal)
    if found is not None and found["throttling"]:
        reasons = ", ".join(f"{name} in {share:.0%} of the visits" for name, share in found["throttling"].items())
        progress.note(f"warning: The GPU was slowed down while it was measured: {reasons}.")


def say_what_may_pass(journal: Journal, progress: Progress) -> None:
    """Say how many subnets did not run for a reason that may pass."""
    if journal.passing:
        *_, last = journal.passing.values()
        progress.note(
            f"warning: {len(journal.passing)} subnets did not run for a reason that may be temporary; repeat the"
            f" command to try them again. The last reason: {last}"
        )


def side_by_side(
    place: Place,
    subnets: Sequence[Subnet],
    *,
    rounds: int,
    seed: int,
    on_visit: Callable[[], None],
    deadline: Deadline = NEVER,
    path: Path | None = None,
) -> tuple[list[Measurement], float]:
    """A few subnets in interleaved rounds with longer visits than a profile's, and the anchor's p50 meanwhile.

    Those that the time did not reach are left out.

    Args:
        place: where.
        subnets: which.
        rounds: visits to each.
        seed: of the orders.
        on_visit: called once for each subnet and round.
        deadline: ends it after a visit; what was visited by then counts.
        path: of the journal, which what was cut goes on from; None keeps none.
    """
    with TemporaryDirectory() as folder, place.worker(LONGER, work=Path(folder)) as worker:
        about = {"target": place.target.to_dict(), "fingerprint": place.fingerprint, "seed": seed}
        journal = Journal.open(path or Path(folder) / "journal.jsonl", about)
        measure(worker, subnets, rounds=rounds, seed=seed, journal=journal, on_visit=on_visit, time_is_up=deadline.over)
        return measurements(journal, subnets, "first", rounds), anchor_ms(journal)


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
