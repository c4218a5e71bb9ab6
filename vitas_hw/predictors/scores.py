"""How good predictions are."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau, spearmanr

from vitas_hw.predictors.features import Floats


def scores(predicted: Floats, measured: Floats) -> dict[str, float]:
    """MAPE, RMSPE, shares within 5% and 10%, Kendall's tau-b and Spearman's rho of (N,) predictions.

    An order that does not exist (constant predictions or measurements) counts as 0.
    """
    error = np.abs(predicted / measured - 1)
    ordered = np.ptp(predicted) > 0 and np.ptp(measured) > 0
    return {
        "mape": float(error.mean()),
        "rmspe": float(np.sqrt((error**2).mean())),
        "within_5": float((error <= 0.05).mean()),
        "within_10": float((error <= 0.10).mean()),
        "kendall": float(kendalltau(predicted, measured).statistic) if ordered else 0.0,
        "spearman": float(spearmanr(predicted, measured).statistic) if ordered else 0.0,
    }
