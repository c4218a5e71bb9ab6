"""What a search measured, added to a copy of the profile, and the predictor fitted anew to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.predictor import Predictor, save_predictor
from vitas_hw.profiling.profile import Measurement, Profile, load_profile, save_profile
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.fit import fit_predictor


@dataclass(frozen=True)
class Refitting:
    """A profile that a search adds its measurements to; the file that the predictor came from stays as it is.

    Args:
        profile: that the predictor was fitted to.
        predictor: of a kind that can be fitted to it.
        profile_path, predictor_path: of the copy and of the new predictor.
    """

    profile: Profile
    predictor: Predictor
    profile_path: Path
    predictor_path: Path

    def add(self, measured_ms: Mapping[Subnet, float]) -> None:
        """Write the copy. A subnet of the profile that was measured again has its new latency alone."""
        rows = {one.subnet: one for one in self.profile.measurements}
        rows |= {subnet: Measurement(subnet, ((ms,),)) for subnet, ms in measured_ms.items()}
        about = {**self.profile.environment, "added_by_search": [subnet.digest for subnet in measured_ms]}
        save_profile(replace(self.profile, environment=about, measurements=tuple(rows.values())), self.profile_path)

    def fit(self, measured_ms: Mapping[Subnet, float]) -> Predictor:
        """The predictor of the profile with these measurements added; both are kept."""
        self.add(measured_ms)
        profile = load_profile(self.profile_path)
        old = self.predictor.regression
        predictor = fit_predictor(profile, old.kind, path=self.profile_path, seed=old.seed)
        save_predictor(predictor, self.predictor_path)
        return predictor


def refitting_of(run: Run, predictor: Predictor | None, staged: Run) -> Refitting | None:
    """Of a search whose files go to ``staged``.

    None where the run has no profile of the predictor's, or the predictor was transferred from another target, or is of
    a kind that is fitted no longer.
    """
    if predictor is None or predictor.kind not in KINDS:
        return None
    path = run.profiles / f"{predictor.name}.jsonl"
    if not path.exists():
        return None
    return Refitting(load_profile(path), predictor, staged.searched_profile, staged.searched_predictor)
