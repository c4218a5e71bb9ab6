"""Measuring a search's finalists on the target that its predictor was fitted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor, read_predictor
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measure, measurements
from vitas_hw.profiling.timing import Timing
from vitas_hw.workflows.progress import Progress
from vitas_hw.workflows.run import Run
from vitas_hw.workflows.targets import Place

_TIMING = Timing(sample_s=0.2, anchor_samples=5)
_ROUNDS = 5
_DRIFTED = 0.1


def load_run_predictor(run: Run) -> tuple[Predictor, Path]:
    """The predictor fitted last in this run.

    Raises:
        InputError: there is none.
    """
    for step in reversed(run.read()["steps"]):
        for name in step["outputs"]:
            path = run.path / name
            if step["step"] == "profile" and path.parent == run.predictors:
                return read_predictor(path), path
    raise InputError(f"The run {run.path} has no predictor.", "Run: vitas-hw profile")


def run_anchor_ms(run: Run, predictor: Predictor) -> float | None:
    """The anchor's p50 in the run's profile that the predictor was fitted to; None if that is not here."""
    from vitas_hw.profiling.profile import load_profile

    path = run.profiles / f"{predictor.name}.jsonl"
    return load_profile(path).anchor_ms if path.exists() else None


def finalist_meter(
    place: Place, usual_anchor_ms: float | None, seed: int, progress: Progress
) -> Callable[[Sequence[Subnet]], list[float]]:
    """Measures subnets side by side: p50 in milliseconds of interleaved rounds, longer than those of a profile.

    Args:
        place: the target on this machine.
        usual_anchor_ms: the anchor's p50 when the target was profiled: latencies are scaled to the machine as it was
            then. None leaves them as they are.
        seed: of the orders.
        progress: where to report to.

    Raises VitasError when called, if the device refuses a subnet.
    """

    def p50(subnets: Sequence[Subnet]) -> list[float]:
        with (
            TemporaryDirectory() as folder,
            progress.step("measuring finalists", _ROUNDS * len(subnets)) as advance,
            place.worker(_TIMING, work=Path(folder)) as worker,
        ):
            journal = Journal.open(Path(folder) / "journal.jsonl", {})
            measure(worker, subnets, rounds=_ROUNDS, seed=seed, journal=journal, on_visit=lambda: advance(""))
        found = measurements(journal, subnets, "first", _ROUNDS)
        for measurement in found:
            if measurement.failed:
                raise VitasError(f"A finalist does not run on {place.target.slug}: {measurement.failed}")
        drift = anchor_ms(journal) / usual_anchor_ms if usual_anchor_ms else 1.0
        if abs(drift - 1) > _DRIFTED:
            progress.note(
                f"the anchor takes {drift:.2f} times as long as when this device was profiled; the finalists' latencies"
                " are scaled to that time"
            )
        return [measurement.latency_ms / drift for measurement in found]

    return p50
