"""What a latency is a statistic of: the words that users choose by."""

from __future__ import annotations

from vitas_hw.core.errors import one_of

P50 = "p50"  # of the machine as it was half of the time
P90 = "p90"  # nine inferences in ten are faster
QUIET = "quiet"  # on the machine as quiet as it was seen
STATISTICS = (P50, P90, QUIET)
DEFAULT_STATISTIC = P50
# of the samples of a measurement; None is its quiet latency
PERCENT: dict[str, float | None] = {P50: 50.0, P90: 90.0, QUIET: None}


def checked_statistic(statistic: str) -> str:
    """The same; raises InputError unless it is one of ``STATISTICS``."""
    if statistic not in STATISTICS:
        raise one_of(statistic, STATISTICS, "statistic")
    return statistic
