"""Measuring a search's finalists on the target that its predictor was fitted for, and fitting it to them too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitas_hw.core.deadline import NEVER, Deadline, TimeIsUpError
from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Progress
from vitas_hw.core.statistic import QUIET
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.profiling.later import Later, can_tell
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.profile import Measurement, Profile, load_profile, save_profile
from vitas_hw.profiling.protocol import side_by_side
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.fit import fit_predictor

_ROUNDS = 5
_DRIFTED = 0.1


def finalist_meter(
    place: Place,
    profile: Profile | None,
    seed: int,
    progress: Progress,
    *,
    percent: float | None = 50,
    deadline: Deadline = NEVER,
    folder: Path | None = None,
) -> Callable[[Sequence[Subnet]], list[float]]:
    """Measures subnets side by side: milliseconds, of interleaved rounds with longer visits than a profile's.

    Args:
        place: the target on this machine.
        profile: what the target's predictor was fitted to: latencies are estimated as its rows are, for the machine as
            it was then. None leaves them as they are.
        seed: of the orders.
        progress: where to report to.
        percent: of the samples, 50 for a p50; None for the latency on the quiet machine, which without a profile that
            has an anchor is the p50.
        deadline: when to stop; what each was visited by then counts.
        folder: keeps every visit; None keeps none.

    Raises VitasError when called, if the device refuses a subnet, and TimeIsUpError before each was visited once.
    """
    usual_ms = None if profile is None else profile.anchor_ms
    later = Later(profile, percent) if profile is not None and can_tell(profile) else None

    def measured(subnets: Sequence[Subnet]) -> list[float]:
        which = hashlib.sha256(" ".join(subnet.digest for subnet in subnets).encode()).hexdigest()[:16]
        with progress.step("measuring finalists", _ROUNDS * len(subnets)) as advance:
            found, anchor = side_by_side(
                place,
                subnets,
                rounds=_ROUNDS,
                seed=seed,
                on_visit=lambda: advance(""),
                deadline=deadline,
                path=None if folder is None else folder / f"{place.target.slug}-{which}.jsonl",
            )
        if len(found) < len(subnets):
            raise TimeIsUpError("the subnets were measured")
        for measurement in found:
            if measurement.failed:
                raise VitasError(f"A finalist does not run on {place.target.slug}: {measurement.failed}")
        drift = anchor / usual_ms if usual_ms else 1.0
        if abs(drift - 1) > _DRIFTED:
            progress.note(
                f"the anchor, a fixed model, takes {drift:.2f} times as long as when this device was profiled; the"
                " finalists' latencies are scaled to that time"
            )
        if later is not None:
            return later.latencies_ms(found, anchor)
        return [measurement.percentile(50 if percent is None else percent) / drift for measurement in found]

    return measured


@dataclass(frozen=True)
class Refitting:
    """A profile that a search adds its measurements to; the file that the predictor came from stays as it is.

    Args:
        profile: that the predictor was fitted to.
        predictor: of a kind that can be fitted to it.
        staged: where the copy and the new predictor go.
    """

    profile: Profile
    predictor: Predictor
    staged: Run

    def add(self, measured_ms: Mapping[Subnet, float]) -> None:
        """Write the copy. A subnet of the profile that was measured again has its new latency alone."""
        rows = {one.subnet: one for one in self.profile.measurements}
        quiet = self.predictor.statistic == QUIET
        rows |= {one: Measurement(one, ((ms,),), quiet_ms=ms if quiet else None) for one, ms in measured_ms.items()}
        path = self.staged.searched_profile
        about = {**self.profile.environment, "added_by_search": [subnet.digest for subnet in measured_ms]}
        save_profile(replace(self.profile, environment=about, measurements=tuple(rows.values())), path)

    def fit(self, measured_ms: Mapping[Subnet, float]) -> Predictor:
        """The predictor of the profile with these measurements added; both are kept."""
        self.add(measured_ms)
        path, old = self.staged.searched_profile, self.predictor.regression
        predictor = fit_predictor(
            load_profile(path), old.kind, path=path, seed=old.seed, statistic=self.predictor.statistic
        )
        save_predictor(predictor, self.staged.searched_predictor)
        return predictor


def refitting_of(run: Run, predictor: Predictor | None, staged: Run) -> Refitting | None:
    """None where there is no profile of the predictor's, or it was transferred from another target, or is of a kind
    that is fitted no longer.
    """
    if predictor is None or predictor.kind not in KINDS:
        return None
    path = run.profiles / f"{predictor.name}.jsonl"
    if not path.exists():
        return None
    return Refitting(load_profile(path), predictor, staged)
