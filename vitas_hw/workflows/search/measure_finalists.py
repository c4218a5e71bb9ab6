"""Measuring a search's finalists on the target that its predictor was fitted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measure, measurements
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.timing import Timing

_TIMING = Timing(sample_s=0.2, anchor_samples=5)
_ROUNDS = 5
_DRIFTED = 0.1


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
