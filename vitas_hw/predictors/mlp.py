"""The ``mlp`` kind: a small neural network on the logarithm of what the line misses."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from vitas_hw.predictors.features import FeatureTable, Floats, Inputs
from vitas_hw.predictors.folds import folds, relative_error
from vitas_hw.predictors.line import Line, choose_columns, fit_line
from vitas_hw.predictors.sealed_file import exactly, numbers
from vitas_hw.predictors.smooth import Standard, log_range

_HIDDEN = 16
_PENALTIES = (3.0, 30.0)
_STEPS = 100


@dataclass(frozen=True)
class Mlp:
    """``line x exp(network)``: one hidden layer of tanh units, ``weights`` and ``biases`` layer by layer."""

    line: Line
    standard: Standard
    weights: tuple[Floats, Floats]
    biases: tuple[Floats, Floats]
    range: tuple[float, float]

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) milliseconds."""
        hidden = np.tanh(self.standard(inputs.table) @ self.weights[0] + self.biases[0])
        correction = (hidden @ self.weights[1] + self.biases[1])[:, 0]
        return self.line.of(inputs.table) * np.exp(np.clip(correction, *self.range))

    def to_dict(self) -> dict[str, Any]:
        return {
            "line": self.line.to_dict(),
            "standard": self.standard.to_dict(),
            "weights": [layer.tolist() for layer in self.weights],
            "biases": [layer.tolist() for layer in self.biases],
            "range": list(self.range),
        }

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Mlp:
        """Inverse of ``to_dict``. Raises ValueError on anything else."""
        exactly(data, ("line", "standard", "weights", "biases", "range"))
        standard = Standard.from_dict(data["standard"], names)
        (first, second), (bias, last) = data["weights"], data["biases"]
        weights = numbers(first, len(standard.names), _HIDDEN), numbers(second, _HIDDEN, 1)
        biases = numbers(bias, _HIDDEN), numbers(last, 1)
        return cls(Line.from_dict(data["line"], names), standard, weights, biases, log_range(data["range"]))


def fit_mlp(inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Mlp:
    """Columns of the line and penalty of the weights by cross-validation."""
    split = folds(len(inputs), seed, groups)
    table = inputs.table
    names, _ = choose_columns(table, latency_ms, split)
    held_out = np.empty((len(_PENALTIES), len(latency_ms)))
    for train, test in split:
        line = fit_line(table.rows(train), names, latency_ms[train])
        for row, penalty in enumerate(_PENALTIES):
            model = _fit(table.rows(train), line, latency_ms[train], penalty, seed)
            held_out[row, test] = model.predict(inputs.rows(test))
    best = int(np.argmin([relative_error(row, latency_ms) for row in held_out]))
    return _fit(table, fit_line(table, names, latency_ms), latency_ms, _PENALTIES[best], seed)


def _fit(table: FeatureTable, line: Line, latency_ms: Floats, penalty: float, seed: int) -> Mlp:
    residual = np.log(latency_ms / line.of(table))
    standard = Standard.of(table)
    spread = max(float(residual.std()), 1e-9)  # the penalty is for targets of deviation 1
    network = MLPRegressor(
        hidden_layer_sizes=(_HIDDEN,),
        activation="tanh",
        solver="lbfgs",
        alpha=penalty,
        max_iter=_STEPS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is part of the regularisation
        network.fit(standard(table), residual / spread)
    first, second = network.coefs_
    bias, last = network.intercepts_
    range_seen = (float(residual.min()), float(residual.max()))
    return Mlp(line, standard, (first, second * spread), (bias, last * spread), range_seen)
