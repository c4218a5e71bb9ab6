"""What a latency is a statistic of: the words that users choose by."""

from __future__ import annotations

from vitas_hw.core.errors import one_of

P50 = "p50"  # of the machine as it was half of the time
QUIET = "quiet"  # on the machine as quiet as it was seen
STATISTICS = (P50, QUIET)
DEFAULT_STATISTIC = P50
PERCENT = {P50: 50.0, QUIET: None}  # of the samples that a measurement gives for it; None is the quiet latency


def checked_statistic(statistic: str) -> str:
    """The same; raises InputError unless it is one of ``STATISTICS``."""
    if statistic not in STATISTICS:
        raise one_of(statistic, STATISTICS, "statistic")
    return statistic
