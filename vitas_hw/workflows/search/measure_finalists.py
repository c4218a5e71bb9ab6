"""Measuring a search's finalists on the target that its predictor was fitted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.protocol import side_by_side

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
        with progress.step("measuring finalists", _ROUNDS * len(subnets)) as advance:
            found, anchor = side_by_side(place, subnets, rounds=_ROUNDS, seed=seed, on_visit=lambda: advance(""))
        for measurement in found:
            if measurement.failed:
                raise VitasError(f"A finalist does not run on {place.target.slug}: {measurement.failed}")
        drift = anchor / usual_anchor_ms if usual_anchor_ms else 1.0
        if abs(drift - 1) > _DRIFTED:
            progress.note(
                f"the anchor takes {drift:.2f} times as long as when this device was profiled; the finalists' latencies"
                " are scaled to that time"
            )
        return [measurement.latency_ms / drift for measurement in found]

    return p50
