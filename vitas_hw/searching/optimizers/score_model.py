"""A surrogate of the score: gradient boosting on what codes look like."""

from __future__ import annotations

import numpy as np

from vitas_hw.core.operators import PRODUCTS, Ints, operators
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.searching.optimizers.base import Floats

_TREES = 60
_MEMBERS = 4
_RIDGE = 30.0  # tuned, as the curiosity of surrogate.py, by benchmarks/search.py on seeds from 1000 on
_PARAMETERS = {
    "max_depth": 3,
    "eta": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "min_child_weight": 0.5,
    "nthread": 1,  # the same trees on every machine
    "tree_method": "hist",
    "verbosity": 0,
}


def code_features(space: SearchSpace, codes: Ints) -> Floats:
    """(N, F): the genes as ordinals, depth and mean genes of the blocks, and logarithms of the operators' sums."""
    table = operators(space.columns(codes))
    depth = np.maximum(space.depths(codes), 1)
    blocks = codes[:, HEADER:].reshape(len(codes), -1, PER_BLOCK).sum(axis=1)
    sums = [row.macs.sum(axis=1) for row in table.of_kind(*PRODUCTS)]
    return np.concatenate(
        [codes, depth[:, None], blocks / depth[:, None], np.log1p(np.stack([*sums, table.macs, table.params], axis=1))],
        axis=1,
    ).astype(np.float64)


class Surrogate:
    """A few boosted ensembles, each on another draw of the subnets, that start from a ridge regression.

    With few subnets the straight line says most; the trees learn what it leaves over.

    Args:
        features: (N, F) of the evaluated subnets.
        scores: (N,).
        weights: (N,) share of the search split behind each.
        seed: of the trees.
    """

    def __init__(self, features: Floats, scores: Floats, weights: Floats, seed: int) -> None:
        import xgboost as xgb

        self._centre, spread = features.mean(axis=0), features.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)
        self._unit = max(float(scores.std()), 1e-6)  # trees of the same size whatever the spread of scores
        inputs = (features - self._centre) / self._scale
        self._mean = float(np.average(scores, weights=weights))
        target = (scores - self._mean) / self._unit
        weighted = inputs * weights[:, None]
        self._line = np.linalg.solve(inputs.T @ weighted + _RIDGE * np.eye(inputs.shape[1]), weighted.T @ target)
        self._members = []
        for member in range(_MEMBERS):
            matrix = xgb.DMatrix(features, target, weight=weights, base_margin=inputs @ self._line, nthread=1)
            settings = _PARAMETERS | {"seed": seed * _MEMBERS + member, "base_score": 0.0}
            self._members.append(xgb.train(settings, matrix, num_boost_round=_TREES))

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """(N,) mean and spread of the members' scores."""
        import xgboost as xgb

        margin = ((features - self._centre) / self._scale) @ self._line
        matrix = xgb.DMatrix(features, base_margin=margin, nthread=1)
        found = np.stack([member.predict(matrix) for member in self._members]) * self._unit + self._mean
        return found.mean(axis=0), found.std(axis=0)
