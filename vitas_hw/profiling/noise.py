"""How far two measurements of a subnet differ, and what of it comes from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitas_hw.profiling.estimate import NOISE, Drift, Estimates, Floats, Visits, scale


@dataclass(frozen=True)
class NoiseFloor:
    """Relative difference between two measurements of the same subnet, far apart in time, sessions built anew.

    ``median`` is None in a profile from before it was kept.
    """

    mean: float
    median: float | None
    p90: float
    pairs: int

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> NoiseFloor | None:
        """From paired latencies; None without a pair."""
        if not first:
            return None
        a, b = np.asarray(first), np.asarray(second)
        difference = np.abs(a - b) / np.minimum(a, b)
        median, p90 = np.percentile(difference, [50, 90])
        return cls(float(difference.mean()), float(median), float(p90), len(first))


@dataclass(frozen=True)
class NoiseSplit:
    """Where the uncertainty of a typical subnet's ``quiet_ms`` comes from: relative standard deviations.

    Args:
        jitter: of the samples within a visit.
        visit: between visits on a quiet machine: each is a session built anew in another process.
        drift: what visits on a loud machine add.
        session: between two measurements far apart, beyond what their visits explain; None where nothing was measured
            twice. More rounds do not lessen it.
    """

    jitter: float
    visit: float
    drift: float
    session: float | None = None

    @property
    def largest(self) -> str:
        """The name of the largest part."""
        parts = {"jitter": self.jitter, "visit": self.visit, "drift": self.drift, "session": self.session or 0.0}
        return max(parts, key=lambda name: parts[name])


@dataclass(frozen=True)
class Quiet:
    """What a profile's ``quiet_ms`` and ``quiet_error`` are.

    Args:
        means: what ``quiet_ms`` estimates, in a sentence.
        drift: how latencies follow the anchor; None without one.
        anchor: the anchor of the quiet machine over ``anchor_ms``; None without one.
        noise: how many times the usual noise of a visit these visits have; None where it cannot be known.
        unknown: why no row has a ``quiet_error``; empty if they have.
        floor: the noise floor of ``quiet_ms``; None where nothing was measured twice with an anchor.
        split: of the noise; None where it cannot be known.
    """

    means: str
    drift: Drift | None
    anchor: float | None
    noise: float | None
    unknown: str = ""
    floor: NoiseFloor | None = None
    split: NoiseSplit | None = None


def split_noise(visits: Visits, found: Estimates, again: tuple[Floats, Floats] | None = None) -> NoiseSplit | None:
    """The parts of the noise of N subnets; None where it cannot be known.

    Args:
        visits: of the subnets.
        found: what they gave.
        again: (P,) differences of ln ``quiet_ms`` between two measurements of a subnet, and the standard deviations
            that their errors let expect of them; None where nothing was measured twice.
    """
    if found.error is None or found.noise is None:
        return None
    quiet_sd = np.full(len(visits), NOISE)
    sd = quiet_sd if visits.loud is None or found.drift is None else found.drift.noise(visits.loud)
    share = (sd**-2 / visits.sums(sd**-2)[visits.row]) ** 2
    jitter = np.nan_to_num(visits.jitter)
    of_samples = visits.sums(share * jitter**2)
    of_drift = visits.sums(share * found.noise**2 * (sd**2 - quiet_sd**2))
    of_visits = np.maximum(visits.sums(share * found.noise**2 * quiet_sd**2) - of_samples, 0.0)
    parts = [float(np.sqrt(np.median(part))) for part in (of_samples, of_visits, of_drift)]
    session = None
    if again is not None and len(again[0]):
        difference, expected = again
        beyond = scale(difference, len(difference)) ** 2 - float(np.mean(expected**2))
        session = float(np.sqrt(max(beyond, 0.0) / 2))
    return NoiseSplit(parts[0], parts[1], parts[2], session)
