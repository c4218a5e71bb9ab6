"""How much of a held-out error is the model's and how much the noise of the labels that it is held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitas_hw.predictors.cross_validation import relative_error
from vitas_hw.predictors.examples import FEWEST, Examples
from vitas_hw.predictors.features import Floats

_RESAMPLES = 2000
_INTERVAL = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class ErrorSplit:
    """A mean error on noisy labels, taken apart. Shares, not percent; ``model² + labels² = mape²``.

    Args:
        model: mean error of the model against the truth that the visits have in common.
        model_95: its 95% bootstrap interval over subnets, the model as it is.
        labels: mean error that the labels' noise alone would make.
    """

    model: float
    model_95: tuple[float, float]
    labels: float


def split_error(predicted: Floats, tested: Examples) -> ErrorSplit | None:
    """From held-out predictions and labels; None where fewer than 20 subnets were visited twice.

    Visits err independently of each other and of a model that has not seen the subnet. So the mean of the *product* of two
    visits' residuals is the model's own mean square error, whatever the visits' noise, and what the labels' mean square
    is above it is theirs: no assumption on the noise's size goes in. The shares of the mean square are applied to the
    mean error as if model and noise erred by distributions of one shape. The level on the whole (one visit alone reads
    higher than an estimate from all) is nobody's error.

    Args:
        predicted: (N,) milliseconds, of models that had not seen the row.
        tested: N examples with the labels they were held against.
    """
    if tested.visits is None:
        return None
    residuals = np.log(predicted[:, None] / tested.visits)
    visits = np.isfinite(residuals).sum(axis=1)
    several = visits >= 2  # noqa: PLR2004
    if several.sum() < FEWEST:
        return None
    residuals, visits = residuals[several] - np.nanmedian(residuals[several]), visits[several]
    on_labels = np.log(predicted / tested.measured)[several]
    on_labels -= np.median(on_labels)
    products = (np.nansum(residuals, axis=1) ** 2 - np.nansum(residuals**2, axis=1)) / (visits * (visits - 1))
    errors, squares = np.abs(predicted / tested.measured - 1)[several], on_labels**2
    drawn = np.random.default_rng(0).integers(0, len(products), (_RESAMPLES, len(products)))
    ends = np.percentile(errors[drawn].mean(axis=1) * _shares(products[drawn], squares[drawn]), _INTERVAL)
    share = float(_shares(products, squares))
    error = relative_error(predicted, tested.measured)
    return ErrorSplit(error * share, (float(ends[0]), float(ends[1])), error * float(np.sqrt(1 - share**2)))


def _shares(products: Floats, squares: Floats) -> Floats:
    """The model's share of a root mean square, 0 to 1, along the last axis."""
    total = np.maximum(squares.mean(axis=-1), 1e-30)
    return np.sqrt(np.clip(products.mean(axis=-1) / total, 0, 1))
