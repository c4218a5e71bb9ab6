"""The latencies that a predictor learns, from a profile's visits: quiet ones, p50s or p90s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from vitas_hw.core.labels import Labels
from vitas_hw.core.statistic import PERCENT, QUIET
from vitas_hw.profiling import estimate as estimator
from vitas_hw.profiling.estimate import Floats, Ints, Visits, estimate, fit_drift
from vitas_hw.profiling.profile import Measurement, known_of

_FEWEST_FOR_CUBIC = 20  # rows; of fewer, the median
_ORDINARY = 0.02  # of ln(p50 / quiet): a row farther from the cubic than this counts for less


@dataclass(frozen=True)
class ProfileLabels:
    """What N subnets of a profile are taken to need; a ``Labeller``.

    With an anchor, ``quiet`` labels are the profile's estimates, and ``p50`` labels are these times a cubic in
    ln(quiet latency) that is fitted to the rows' own p50s: what a usual moment of the machine adds is alike for subnets
    of a size, and the p50 of a single row says little of it. Without an anchor both are the p50s. ``p90`` labels are
    made as p50s are.

    Args:
        rows: N measurements with samples.
        statistic: one of ``STATISTICS``.
    """

    rows: Sequence[Measurement]
    statistic: str
    _known: dict[bytes, Labels] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, fitted_to: Ints) -> Labels:
        """Labels of all N; what corrects them was fitted to the rows ``fitted_to`` alone.

        A row without a drift among others that have one was measured at length by a search. It has its own number as
        it is, the p50 divided by the cubic where it has no ``quiet_ms``, and is as sure as the median row.
        """
        key = np.sort(fitted_to).tobytes()
        if key not in self._known:
            self._known[key] = self._labels(np.sort(fitted_to))
        return self._known[key]

    @cached_property
    def _visits(self) -> tuple[Ints, Visits, Floats]:
        """The rows whose visits tell of a quiet machine, their visits, and what their latency is about linear in."""
        anchored = [number for number, row in enumerate(self.rows) if row.drift]
        numbers = anchored or list(range(len(self.rows)))
        rows = [self.rows[number] for number in numbers]
        visits = Visits.of([row.rounds_ms for row in rows], [row.drift for row in rows])
        return np.array(numbers), visits, known_of([row.subnet for row in rows])

    def _labels(self, fitted_to: Ints) -> Labels:
        numbers, visits, about = self._visits
        percent = PERCENT[self.statistic]
        usual_ms = np.array([row.percentile(50 if percent is None else percent) for row in self.rows])
        seen = np.isin(numbers, fitted_to)
        drift, shift = None, 0.0
        if visits.loud is not None:
            shift = float(np.percentile(visits.loud[seen[visits.row]], estimator.QUIET))
            drift = fit_drift(_rows(visits, seen, shift), about[seen])
        measured, error = usual_ms.copy(), np.full(len(usual_ms), np.nan)
        most = max(len(row.rounds_ms) for row in self.rows)
        each, each_error = np.full((len(usual_ms), most), np.nan), np.full((len(usual_ms), most), np.nan)
        for chosen in (seen, ~seen):
            part, whose = _rows(visits, chosen, shift), numbers[chosen]
            if not len(part):
                continue
            found = estimate(part, drift)
            error[whose] = found.assumed if found.error is None else found.error
            place = (whose[part.row], _rank_within(part.row))
            if drift is None:  # what was found are p50s
                each[place] = np.exp(part.middle) * (usual_ms[whose] / found.quiet_ms)[part.row]
            else:
                measured[whose] = found.quiet_ms
                each[place] = np.exp(drift.settled(part))
            each_error[place] = estimator.NOISE if drift is None or part.loud is None else drift.noise(part.loud)
        error[np.isnan(error)] = np.median(error[numbers])
        if drift is not None:
            usual = ratio_by_size(measured[numbers[seen]], usual_ms[numbers[seen]])
            if self.statistic == QUIET:
                others = np.setdiff1d(np.arange(len(usual_ms)), numbers)
                told = np.array([self.rows[number].quiet_ms or np.nan for number in others])
                measured[others] = np.where(np.isnan(told), usual_ms[others] / usual(usual_ms[others]), told)
            else:
                factor = usual(measured[numbers])
                measured[numbers] *= factor
                each[numbers] *= factor[:, None]
        return Labels(measured, error, each, each_error)


def _rows(visits: Visits, chosen: npt.NDArray[np.bool_], shift: float) -> Visits:
    """The visits of some subnets, (N,) true; ``shift`` more on the anchor counts as quiet."""
    mine = chosen[visits.row]
    loud = None if visits.loud is None else visits.loud[mine] - shift
    renumbered = (np.cumsum(chosen) - 1)[visits.row[mine]]
    parts = {name: getattr(visits, name)[mine] for name in ("low", "middle", "jitter")}
    return replace(visits, row=renumbered, loud=loud, p50=visits.p50[chosen], **parts)


def _rank_within(row: Ints) -> Ints:
    """(V,) the how manieth visit of its subnet each is; a subnet's visits stand together."""
    first = np.r_[True, row[1:] != row[:-1]]
    return np.arange(len(row)) - np.maximum.accumulate(np.where(first, np.arange(len(row)), 0))


def ratio_by_size(known_ms: Floats, other_ms: Floats) -> Callable[[Floats], Floats]:
    """Another latency of N subnets over a known one, as a function of the known one: a cubic in its logarithm, robustly
    fitted to the logarithm of the ratio. Beyond what was seen the ends go on.
    """
    size, ratio = np.log(known_ms), np.log(other_ms / known_ms)
    centre, spread = float(size.mean()), float(size.std()) or 1.0
    ends = float(size.min()), float(size.max())

    def powers(size: Floats) -> Floats:
        return np.vander((np.clip(size, *ends) - centre) / spread, 4 if len(known_ms) >= _FEWEST_FOR_CUBIC else 1)

    start = np.zeros(powers(size).shape[1])
    start[-1] = np.median(ratio)
    from scipy.optimize import least_squares  # reading labels needs none of it

    found = least_squares(lambda x: powers(size) @ x - ratio, start, loss="soft_l1", f_scale=_ORDINARY).x
    return lambda ms: np.exp(powers(np.log(ms)) @ found)
