"""What a perfect predictor would score against noisy measurements: the ceiling that a profile's own noise sets.

A profile keeps median (unless it is older than that), mean and 90th percentile of the relative difference between two
measurements of the same subnet, made alike and far apart. Assumed: the logarithms of the two err independently and
alike, by a generalised normal distribution. Its shape (2 is the normal one, less has heavier tails) is the one of a
grid whose differences have the profile's ratio of 90th percentile to median (or to mean); its scale gives the profile's
90th percentile. The true latencies are taken to be the shipped predictor's. With a few dozen pairs this is an
estimate, not a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from bench_tools import Floats
from scipy.stats import gennorm

from vitas_hw.predictors.cross_validation import scores
from vitas_hw.profiling.noise import NoiseFloor

_SHAPES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0)
_PAIRS = 200_000  # drawn to know the differences of a shape
_DRAWS = 50  # of whole profiles


@dataclass(frozen=True)
class Noise:
    """Of the logarithm of one measurement: a generalised normal distribution."""

    shape: float
    scale: float

    @classmethod
    def of(cls, floor: NoiseFloor) -> Noise:
        """The noise whose differences are the profile's."""
        p90 = np.log1p(floor.p90)
        wanted = p90 / np.log1p(floor.mean if floor.median is None else floor.median)
        found = []
        for shape in _SHAPES:
            difference = np.abs(np.subtract(*gennorm.rvs(shape, size=(2, _PAIRS), random_state=0)))
            middle = difference.mean() if floor.median is None else np.median(difference)
            tail = float(np.percentile(difference, 90))
            found.append((abs(np.log(tail / middle / wanted)), shape, p90 / tail))
        _, shape, scale = min(found)
        return cls(shape, float(scale))

    def draw(self, count: int, seed: int) -> Floats:
        """(count,) factors between a measurement and the truth."""
        return np.exp(gennorm.rvs(self.shape, scale=self.scale, size=count, random_state=seed))


def ceiling(true_ms: Floats, floor: NoiseFloor) -> dict[str, float]:
    """The mean scores of knowing ``true_ms`` (N,), over many profiles measured with that noise."""
    noise = Noise.of(floor)
    rows = [scores(true_ms, true_ms * noise.draw(len(true_ms), seed)) for seed in range(_DRAWS)]
    return {"shape": noise.shape} | {key: round(float(np.mean([row[key] for row in rows])), 5) for key in rows[0]}
