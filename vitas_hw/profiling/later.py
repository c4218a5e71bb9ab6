"""What is measured later, in the terms of a profile: as if it had been measured with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitas_hw.profiling.estimate import Floats, Visits, estimate
from vitas_hw.profiling.profile import Measurement, Profile

_BEND = 2  # degree of a usual latency over a quiet one, as a polynomial of ln size
_FEWEST = 30  # rows to fit that to; of fewer the median counts
_HUBER, _STEPS = 1.345, 20


class Later:
    """Estimates latencies as a profile's rows have them, from visits on the same machine at another time.

    The profile's drift and its quiet machine are taken as known: a few subnets could not tell them. A quiet latency is
    what can be measured best; how much longer a p50 or p90 of the profile is than its quiet latency depends on little
    but the subnet's size, and is taken from all rows.

    Args:
        profile: with an anchor and ``quiet``.
        percent: of the samples, 50 for ``latency_ms``; None for ``quiet_ms``.
    """

    def __init__(self, profile: Profile, percent: float | None = 50) -> None:
        assert can_tell(profile)
        self._profile = profile
        rows = [row for row in profile.ok if row.drift and row.quiet_ms is not None]
        self._sizes = np.log([row.quiet_ms or np.nan for row in rows])
        usual = self._sizes if percent is None else np.log([row.percentile(percent) for row in rows])
        self._bend = _robust_line(self._sizes, usual - self._sizes, _BEND if len(rows) >= _FEWEST else 0)

    def latencies_ms(self, found: Sequence[Measurement], anchor_ms: float) -> list[float]:
        """Of measurements that ran, whose drift refers to ``anchor_ms``."""
        assert self._profile.quiet is not None
        assert self._profile.anchor_ms is not None
        scale = anchor_ms / self._profile.anchor_ms
        visits = Visits.of(
            [one.rounds_ms for one in found],
            [[drift * scale for drift in one.drift] for one in found],
            self._profile.quiet.anchor,
        )
        quiet_ms = estimate(visits, self._profile.quiet.drift).quiet_ms
        size = np.clip(np.log(quiet_ms), self._sizes.min(), self._sizes.max())
        latencies: list[float] = (quiet_ms * np.exp(np.polyval(self._bend, size))).tolist()
        return latencies


def can_tell(profile: Profile) -> bool:
    """Whether a profile says how its machine drifts, which it does if it has an anchor."""
    return profile.anchor_ms is not None and profile.quiet is not None and profile.quiet.drift is not None


def _robust_line(x: Floats, y: Floats, degree: int) -> Floats:
    """Coefficients of a polynomial, by Huber's loss."""
    weights = np.ones(len(x))
    found = np.array([np.median(y)])
    for _ in range(_STEPS if degree else 0):
        found = np.polyfit(x, y, degree, w=np.sqrt(weights))
        away = np.abs(y - np.polyval(found, x))
        weights = np.minimum(1.0, _HUBER * 1.4826 * np.median(away) / np.maximum(away, 1e-12))
        weights = np.maximum(weights, 1e-6)  # of a perfect fit all would be 0
    return found
