"""From the visits of many subnets to what each takes on the machine as quiet as it was seen, and how sure that is.

Noise of a shared machine is mostly one-sided: neighbours make inferences slower, never faster. So of a visit's samples
a low quantile counts, and of visits those count most during which the anchor, one fixed model, ran as fast as it ever
did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WITH_ANCHOR = (
    "quiet_ms estimates the latency on the machine as quiet as it was seen while this profile was measured: a low"
    " quantile of each visit's samples, with the drift that the anchor shows taken out, quiet visits counting most."
)
WITHOUT_ANCHOR = (
    "quiet_ms is the p50 of all samples: there was no anchor, so nothing tells how quiet the machine was at a visit."
)

LOW = 5.0  # percentile of a visit's samples, rounded down: of up to twenty the smallest
QUIET = 5.0  # percentile of the anchor's readings that counts as the quiet machine
USUAL_SLOPE = 0.9  # of ln(latency) on ln(anchor), where a profile cannot tell its own
NOISE = 0.02  # standard deviation of ln of a visit on the quiet machine, before it is scaled to the profile's
_ABOVE_LEAST = 0.03  # most of an estimate above the fastest visit, in ln
USUAL_LOUDER = 0.25  # how much it grows with loudness, where a profile cannot tell
_LOUDER = (0.0, 0.03, 0.06, 0.12, 0.25, 0.5)
_LOUDER_PRIOR = 1.0  # standard deviation of ln(0.03 + ...) around the usual one
_SLOPE_PRIOR, _BY_SIZE_PRIOR = 0.5, 0.2  # standard deviations around USUAL_SLOPE and 0
_STEEPEST = 1.5
_HUBER = 1.345
_STEPS = 30
_FEWEST_REPEATS = 8  # visits beyond each subnet's first, for the noise to be known
_PRIOR_REPEATS = 4.0  # how many visits the noise of all subnets counts beside a subnet's own
_OUTLIER = 3.0  # standard deviations beyond which a residual counts as so many
_LEAST = 1e-6  # standard deviation of residuals: those of a simulated machine may all be 0


def quiet_drift(drift: Sequence[Sequence[float]]) -> float:
    """The anchor of the quiet machine, in the unit of these readings: the 5th percentile of them all."""
    return float(np.percentile(np.concatenate([np.asarray(changes, np.float64) for changes in drift]), QUIET))


@dataclass(frozen=True)
class Visits:
    """V visits of N subnets.

    Args:
        row: (V,) which subnet, from 0 to N - 1.
        low, middle: (V,) ln of a low quantile and of the p50 of the samples in milliseconds.
        loud: (V,) ln of the anchor at the visit over the anchor of the quiet machine: about 0 on a quiet machine, 0.1
            where the anchor took 10% longer, and slightly negative for the few quietest visits; None without an anchor.
        jitter: (V,) standard deviation of ``low`` for want of more samples, see ``jitter``.
        p50: (N,) of all samples of a subnet, in milliseconds: the plain rule.
    """

    row: Ints
    low: Floats
    middle: Floats
    loud: Floats | None
    jitter: Floats
    p50: Floats

    @classmethod
    def of(
        cls,
        rounds_ms: Sequence[Sequence[Sequence[float]]],
        drift: Sequence[Sequence[float]],
        quiet: float | None = None,
    ) -> Visits:
        """The visits of N subnets from their raw samples.

        Args:
            rounds_ms: for each subnet, for each of its visits, the samples in milliseconds.
            drift: for each subnet, for each visit, the anchor then over its median; empty without an anchor, which
                makes the whole profile one without.
            quiet: the drift of the quiet machine, where these visits are only some of those that tell; None takes the
                5th percentile of them.
        """
        row = np.array([index for index, visits in enumerate(rounds_ms) for _ in visits], np.int64)
        each = [np.asarray(visit, np.float64) for visits in rounds_ms for visit in visits]
        low = np.log([np.percentile(visit, LOW, method="lower") for visit in each])
        middle = np.log([np.median(visit) for visit in each])
        uncertain = np.array([jitter(visit) for visit in each])
        p50 = np.array([np.median([sample for visit in visits for sample in visit]) for visits in rounds_ms])
        if not len(row) or not all(drift):
            return cls(row, low, middle, None, uncertain, p50)
        anchor = np.log(np.concatenate([np.asarray(changes, np.float64) for changes in drift]))
        loud = anchor - np.log(quiet_drift(drift) if quiet is None else quiet)
        return cls(row, low, middle, loud, uncertain, p50)

    def __len__(self) -> int:
        return len(self.row)

    def sums(self, values: Floats) -> Floats:
        """(N,) sums of something of each visit (V,) over each subnet's visits."""
        found = np.zeros(len(self.p50))
        np.add.at(found, self.row, values)
        return found

    @property
    def repeats(self) -> int:
        """How many visits there are beyond each subnet's first."""
        return len(self.row) - len(self.p50)

    @property
    def size(self) -> Floats:
        """(N,) ln of about what a subnet takes: good enough to tell small ones from large ones."""
        settled = self.low if self.loud is None else self.low - USUAL_SLOPE * self.loud
        return self.sums(settled) / self.sums(np.ones(len(self)))


@dataclass(frozen=True)
class Drift:
    """How a subnet's latency follows the anchor's.

    ln(latency) grows by a slope times ln(anchor): ``slope`` + ``by_size`` (ln size - ``centre``) / ``spread``, from 0
    to 1.5. It is not 1: the anchor is one model, and what slows it slows a larger or smaller one more or less.

    Args:
        slope, by_size, centre, spread: of that line.
        louder: the noise of a visit grows by this times its loudness.
    """

    slope: float = USUAL_SLOPE
    by_size: float = 0.0
    centre: float = 0.0
    spread: float = 1.0
    louder: float = USUAL_LOUDER

    def slopes(self, size: Floats) -> Floats:
        """(N,) of subnets of that ln size (N,)."""
        return np.clip(self.slope + self.by_size * (size - self.centre) / self.spread, 0.0, _STEEPEST)

    def settled(self, visits: Visits) -> Floats:
        """(V,) ``low`` with the drift taken out."""
        assert visits.loud is not None
        return visits.low - self.slopes(visits.size)[visits.row] * visits.loud

    def noise(self, loud: Floats) -> Floats:
        """(V,) standard deviation of ln of a visit's low quantile, before it is scaled to a profile."""
        return NOISE + self.louder * np.maximum(loud, 0.0)


@dataclass(frozen=True)
class Estimates:
    """What N subnets take on the machine as quiet as it was seen.

    Args:
        quiet_ms: (N,) milliseconds.
        error: (N,) relative standard uncertainty of each; None where it cannot be known.
        assumed: (N,) the same by the usual noise of visits, whatever these show.
        noise: factor of the assumed noise of a visit that these visits show; None where it cannot be known.
        drift: None without an anchor.
        unknown: why there is no ``error``; empty if there is.
    """

    quiet_ms: Floats = field(repr=False)
    error: Floats | None = field(repr=False)
    assumed: Floats = field(repr=False)
    noise: float | None
    drift: Drift | None
    unknown: str = ""

    @property
    def sentence(self) -> str:
        """What ``quiet_ms`` estimates."""
        return WITHOUT_ANCHOR if self.drift is None else WITH_ANCHOR


def fit_drift(visits: Visits, about: Floats | None = None) -> Drift:
    """The drift's slope, its dependence on size and the noise of loud visits, from these visits alone.

    Where subnets were visited several times they are fitted to the differences between visits of one subnet. Where none
    was, the slope is fitted beside a line through what is known of the subnets; without that it is the usual one.
    Robustly (Huber's loss), and held near the usual values where the visits tell little.

    Args:
        visits: with an anchor.
        about: (N, F) what tells a subnet's ln latency about linearly, such as ln MACs; a constant is added.
    """
    found = _fit_slope(visits, Drift(), about)
    if visits.repeats < _FEWEST_REPEATS:
        return found
    louder = _fit_louder(visits, found)
    return _fit_slope(visits, replace(found, louder=louder), about)


def estimate(visits: Visits, drift: Drift | None = None, about: Floats | None = None) -> Estimates:
    """The quiet latency of each subnet.

    With an anchor: ln of it is the mean over visits of ``low`` less slope times ``loud``, weighted by 1 / sd², sd =
    0.02 + ``louder`` max(loud, 0), but at most 0.03 above the least ``low``: what was seen needs no louder visit's
    word, beyond what a session built anew differs by anyway. Without: the p50.

    Args:
        visits: every subnet has at least one.
        drift: fitted to other visits, so that these may be a test of it; None fits it to these.
        about: as for ``fit_drift``.
    """
    if visits.loud is None:
        drift, sd, settled = None, np.full(len(visits), NOISE), visits.middle
    else:
        drift = drift or fit_drift(visits, about)
        sd, settled = drift.noise(visits.loud), drift.settled(visits)
    precision = visits.sums(sd**-2)
    mean = visits.sums(settled * sd**-2) / precision
    residual = (settled - mean[visits.row]) / sd
    if visits.loud is None:
        quiet = visits.p50
    else:
        least = np.full(len(mean), np.inf)
        # on a machine faster than the quiet one, what was seen is what that one would have taken
        np.minimum.at(least, visits.row, visits.low + (settled - visits.low) * (visits.loud < 0))
        quiet = np.exp(np.minimum(mean, least + _ABOVE_LEAST))
    if visits.repeats < _FEWEST_REPEATS:
        made = f"only {visits.repeats} visits repeat a subnet's first" if visits.repeats else "each was visited once"
        unknown = f"How noisy the latencies of these subnets are cannot be estimated: {made}."
        return Estimates(quiet, None, precision**-0.5, None, drift, unknown)
    noise = scale(residual, visits.repeats)
    own = visits.sums(np.minimum(np.abs(residual), 2 * _OUTLIER * noise) ** 2)
    extra = visits.sums(np.ones(len(visits))) - 1
    variance = (_PRIOR_REPEATS * noise**2 + own) / (_PRIOR_REPEATS + extra)
    return Estimates(quiet, np.sqrt(variance / precision), precision**-0.5, noise, drift)


def jitter(samples_ms: Sequence[float] | Floats) -> float:
    """Standard deviation of ln of the low quantile of one visit's samples, for want of more of them; NaN of one sample.

    Distances between neighbours in order are exponentially distributed, whatever the samples are (Pyke, 1965): half of
    each one's square is its variance, and the quantile is their sum. The unknown first one is taken to be as the
    second.
    """
    count = len(samples_ms)
    if count < 2:
        return float("nan")
    rank = int((count - 1) * LOW / 100) + 1
    gaps = np.diff(np.log(np.sort(samples_ms)[: max(rank, 2)]))
    first = gaps[0] * (count - 1) / count
    return float(np.sqrt((first**2 + (gaps[: rank - 1] ** 2).sum()) / 2))


def scale(residual: Floats, rows_left: int) -> float:
    """Robust standard deviation of residuals, those far out counting as ``_OUTLIER`` of it."""
    found = np.inf
    for _ in range(_STEPS):
        held = np.minimum(np.abs(residual), _OUTLIER * found)
        found = max(float(np.sqrt((held**2).sum() / rows_left)), _LEAST)
    return found


def _fit_slope(visits: Visits, usual: Drift, about: Floats | None) -> Drift:
    """With the noise of ``usual``."""
    assert visits.loud is not None
    size, sd = visits.size, usual.noise(visits.loud)
    centre, spread = float(size.mean()), float(size.std()) or 1.0
    relative = ((size - centre) / spread)[visits.row]
    design, target = np.stack([visits.loud, visits.loud * relative], axis=1), visits.low
    prior = np.array([1 / _SLOPE_PRIOR, 1 / _BY_SIZE_PRIOR])
    if visits.repeats >= _FEWEST_REPEATS:
        within = _within(visits, np.column_stack([design, target]), sd)
        design, target, left = within[:, :2], within[:, 2], visits.repeats
    elif about is not None and len(visits) > about.shape[1] + _FEWEST_REPEATS:
        known = np.column_stack([np.ones(len(about)), (about - about.mean(axis=0)) / (about.std(axis=0) + _LEAST)])
        design, prior = np.column_stack([design, known[visits.row]]), np.append(prior, np.full(known.shape[1], 1e-3))
        left = len(visits) - design.shape[1]
    else:
        return usual
    start = np.zeros(design.shape[1])
    start[0] = USUAL_SLOPE
    found = _huber(design / sd[:, None], target / sd, prior, start, left)
    return Drift(float(found[0]), float(found[1]), centre, spread, usual.louder)


def _fit_louder(visits: Visits, drift: Drift) -> float:
    """Which growth of the noise with loudness makes the differences between visits of a subnet likeliest."""
    loud = visits.loud
    assert loud is not None

    def unlikely(louder: float) -> float:
        """Twice the negative logarithm of the restricted likelihood, the scale at its best."""
        sd = replace(drift, louder=louder).noise(loud)
        residual = _within(visits, drift.settled(visits)[:, None], sd)[:, 0] / sd
        fitted = 2 * visits.repeats * np.log(scale(residual, visits.repeats))
        prior = (np.log((louder + 0.03) / (USUAL_LOUDER + 0.03)) / _LOUDER_PRIOR) ** 2
        return float(2 * np.log(sd).sum() + np.log(visits.sums(sd**-2)).sum() + fitted + prior)

    return min(_LOUDER, key=unlikely)


def _within(visits: Visits, values: Floats, sd: Floats) -> Floats:
    """(V, F) less the weighted mean over the visits of the same subnet."""
    precision = visits.sums(sd**-2)
    means = np.stack([visits.sums(column * sd**-2) / precision for column in values.T], axis=1)
    return values - means[visits.row]


def _huber(design: Floats, target: Floats, prior: Floats, usual: Floats, rows_left: int) -> Floats:
    """Ridge regression towards ``usual`` with Huber's loss; ``prior`` is one over a coefficient's own spread."""
    weight = np.ones(len(target))
    sd, found = 1.0, usual.copy()
    for _ in range(_STEPS):
        gram = design.T @ (design * weight[:, None]) / sd**2 + np.diag(prior**2)
        found[:] = np.linalg.solve(gram, design.T @ (target * weight) / sd**2 + prior**2 * usual)
        residual = np.abs(target - design @ found)
        sd = scale(residual, rows_left)
        weight = np.minimum(1.0, _HUBER * sd / np.maximum(residual, _LEAST))
    return found
