"""Kinds of predictor to compare with: ``lookup`` (a price for each block met) and ``mlp`` (a small neural network).

Both were kinds of ``vitas-hw fit`` and lost to its line and trees (``results/predictors.json``). Their files are still
read, which is why their models stand in the package.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from bench_tools import Floats
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from vitas_hw.core import InputError
from vitas_hw.predictors.cross_validation import relative_error
from vitas_hw.predictors.examples import Examples, Model
from vitas_hw.predictors.features import FeatureTable
from vitas_hw.predictors.line import Line, Standard, choose_columns, fit_flops, fit_line
from vitas_hw.predictors.older_kinds import HIDDEN, Lookup, Mlp, parts
from vitas_hw.predictors.registry import fit_model

_LOOKUP_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
_MLP_PENALTIES = (3.0, 30.0)
_STEPS = 100


def fit_lookup(examples: Examples, seed: int) -> Lookup:
    """Ridge regression on the relative error of the line through the MACs; its penalty by cross-validation."""
    if examples.table.subnets is None:
        raise InputError("The kind 'lookup' needs subnets, not a table of columns.")
    errors = np.zeros(len(_LOOKUP_PENALTIES))
    for train, test in examples.folds(seed):
        seen, unseen = examples.rows(train), examples.rows(test)
        line = fit_flops(seen, seed)
        for row, penalty in enumerate(_LOOKUP_PENALTIES):
            found = _prices(seen.table, line, seen.measured, penalty).predict(unseen.table)
            errors[row] += relative_error(found, unseen.measured) * len(unseen)
    best = _LOOKUP_PENALTIES[int(np.argmin(errors))]
    return _prices(examples.table, fit_flops(examples, seed), examples.measured, best)


def _prices(table: FeatureTable, line: Line, latency_ms: Floats, penalty: float) -> Lookup:
    assert table.subnets is not None
    keys, macs = parts(table.subnets)
    known, where = np.unique(keys[macs > 0], return_inverse=True)
    rows = np.nonzero(macs > 0)[0]
    shape = (len(latency_ms), len(known))
    unit = float(macs.sum(axis=1).mean())
    shares = csr_matrix((macs[macs > 0] / unit / latency_ms[rows], (rows, where)), shape)
    missed = 1 - line.predict(table) / latency_ms
    gram = (shares @ shares.T).toarray()
    weights = np.linalg.solve(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), missed)
    return Lookup(line, known, shares.T @ weights / unit)


def fit_mlp(examples: Examples, seed: int) -> Mlp:
    """Columns of the line and penalty of the weights by cross-validation."""
    names, _ = choose_columns(examples, seed)
    fits = [partial(_network, names=names, penalty=penalty, seed=seed) for penalty in _MLP_PENALTIES]
    errors = [relative_error(examples.held_out(fit, seed), examples.measured) for fit in fits]
    return fits[int(np.argmin(errors))](examples)


def _network(examples: Examples, names: tuple[str, ...], penalty: float, seed: int) -> Mlp:
    line, table = fit_line(examples, names), examples.table
    residual = np.log(examples.measured / line.predict(table))
    standard = Standard.of(table)
    spread = max(float(residual.std()), 1e-9)  # the penalty is for targets of deviation 1
    network = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,),
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


BASELINES = {"lookup": fit_lookup, "mlp": fit_mlp}


def fit_any(kind: str, examples: Examples, seed: int) -> Model:
    """A model of a baseline, or of one of the package's kinds."""
    if kind not in BASELINES:
        return fit_model(kind, examples, seed)
    with threadpool_limits(1):
        return BASELINES[kind](examples, seed)
