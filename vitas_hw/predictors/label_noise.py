"""How much of a held-out error is the model's and how much the noise of the labels that it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vitas_hw.predictors.cross_validation import relative_error
from vitas_hw.predictors.examples import FEWEST, Examples
from vitas_hw.predictors.features import Floats

_RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)  # percent
_CUBIC, _STEPS, _HUBER = 3, 10, 1.345
_MEAN_OF_NORMAL = np.sqrt(2 / np.pi)  # mean of |x| over its root mean square


@dataclass(frozen=True)
class ErrorSplit:
    """A mean error on noisy labels, taken apart. Shares, not percent.

    Args:
        model: mean error of the model against what the visits have in common.
        model_95: its 95% bootstrap interval over subnets, the model as it is.
        labels: what the labels' noise adds, in quadrature.
    """

    model: float
    model_95: tuple[float, float]
    labels: float


def split_error(predicted: Floats, tested: Examples) -> ErrorSplit | None:
    """From held-out predictions and labels; None where fewer than 20 subnets were visited twice.

    Visits of a subnet err independently of each other and of a model that has not seen it. So the mean of the *product*
    of two visits' residuals is the model's own mean square error, whatever the size of the noise. A mean error is made
    of it as if the model erred by a normal distribution. Visits on a quiet machine count for more. What all subnets of
    a size have in common in one round and not in the other is no subnet's noise and is taken out; what they have in
    common in all rounds is in neither part, since the model has learned it as the truth.

    Args:
        predicted: (N,) milliseconds, of models that had not seen the row.
        tested: N examples with the labels they were held against.
    """
    if tested.visits is None or tested.visit_error is None:
        return None
    several = np.isfinite(tested.visits).sum(axis=1) > 1
    if several.sum() < FEWEST:
        return None
    sizes = np.log(predicted[several])
    residuals = _without_rounds(sizes[:, None] - np.log(tested.visits[several]), sizes)
    errors = tested.visit_error[several]
    weights = 1 / (errors**2 + np.nanmedian(errors) ** 2)
    products, counts = np.zeros(len(sizes)), np.zeros(len(sizes))
    for a, b in combinations(range(residuals.shape[1]), 2):
        weight = weights[:, a] * weights[:, b]
        products += np.nan_to_num(weight * residuals[:, a] * residuals[:, b])
        counts += np.nan_to_num(weight)
    drawn = np.random.default_rng(0).integers(0, len(sizes), (_RESAMPLES, len(sizes)))
    error = relative_error(predicted, tested.measured)  # the model's is no larger
    low, high = np.minimum(np.percentile(_mean_error(products[drawn], counts[drawn]), _INTERVAL), error)
    model = min(float(_mean_error(products, counts)), error)
    return ErrorSplit(model, (float(low), float(high)), float(np.sqrt(error**2 - model**2)))


def _mean_error(products: Floats, counts: Floats) -> Floats:
    """From weighted products of residuals, along the last axis."""
    square = products.sum(axis=-1) / counts.sum(axis=-1)
    return np.sqrt(np.maximum(square, 0.0)) * _MEAN_OF_NORMAL  # type: ignore[no-any-return]


def _without_rounds(residuals: Floats, sizes: Floats) -> Floats:
    """(N, V) residuals without their median, and without the difference of each visit's trend in size (N,) from the
    mean trend of the visits: a cubic, outliers weighed down (Huber).
    """
    powers = np.vander((sizes - sizes.mean()) / (sizes.std() or 1.0), _CUBIC + 1)
    trends = []
    for residual in residuals.T:
        there = np.isfinite(residual)
        x, y, weight = powers[there], residual[there], np.ones(there.sum())
        trend = np.zeros(powers.shape[1])
        if len(y) > powers.shape[1]:
            for _ in range(_STEPS):
                trend = np.linalg.lstsq(x * weight[:, None], y * weight)[0]
                far = np.abs(y - x @ trend)
                weight = np.sqrt(np.minimum(1.0, _HUBER * 1.4826 * np.median(far) / np.maximum(far, 1e-12)))
        trends.append(powers @ trend)
    together = np.stack(trends, axis=1)
    flat: Floats = residuals - (together - together.mean(axis=1, keepdims=True))
    return flat - np.nanmedian(flat)
