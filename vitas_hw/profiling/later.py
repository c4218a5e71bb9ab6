"""What is measured later, in the terms of a profile: as if it had been measured with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitas_hw.profiling.estimate import Visits, estimate
from vitas_hw.profiling.labels import ratio_by_size
from vitas_hw.profiling.profile import Measurement, Profile


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
        quiet = np.array([row.quiet_ms or np.nan for row in rows])
        usual = quiet if percent is None else np.array([row.percentile(percent) for row in rows])
        self._usual = ratio_by_size(quiet, usual)

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
        latencies: list[float] = (quiet_ms * self._usual(quiet_ms)).tolist()
        return latencies


def can_tell(profile: Profile) -> bool:
    """Whether a profile says how its machine drifts, which it does if it has an anchor."""
    return profile.anchor_ms is not None and profile.quiet is not None and profile.quiet.drift is not None
