"""The ``lookup`` kind: a table with the price of every block met, and of every product in it, that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import PRODUCTS, SubnetColumns, operators
from vitas_hw.predictors.features import Floats, Inputs, Ints
from vitas_hw.predictors.folds import folds, relative_error
from vitas_hw.predictors.line import Line, fit_flops
from vitas_hw.predictors.sealed_file import exactly, numbers, whole

_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64)
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Lookup:
    """Latency = ``line`` through the MACs + for each block and product: its MACs x its own correction.

    Args:
        line: of the MACs; prices what the table does not hold.
        keys: (U,) increasing hashes of blocks and products (their shapes).
        corrections: (U,) milliseconds a MAC.
    """

    line: Line
    keys: Keys
    corrections: Floats

    def predict(self, inputs: Inputs) -> Floats:
        """(N,) milliseconds."""
        line = self.line.of(inputs.table)
        if inputs.columns is None or not len(self.keys) or not len(inputs):
            return line
        keys, macs = parts(inputs.columns)
        where = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[where] == keys
        corrected = line + (macs * np.where(known, self.corrections[where], 0.0)).sum(axis=1)
        return np.maximum(corrected, self.line.least)  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        return {"line": self.line.to_dict(), "keys": self.keys.tolist(), "corrections": self.corrections.tolist()}

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Lookup:
        """Inverse of ``to_dict``. Raises ValueError on anything else."""
        exactly(data, ("line", "keys", "corrections"))
        keys = [whole(key, 0, 2**64 - 1) for key in data["keys"]]
        if keys != sorted(set(keys)):
            raise ValueError("the keys are not increasing")
        corrections = numbers(data["corrections"], len(keys))
        return cls(Line.from_dict(data["line"], names), np.array(keys, np.uint64), corrections)


def parts(columns: SubnetColumns) -> tuple[Keys, Ints]:
    """(N, P) the hash and the MACs of every product, and of every block as a whole; absent ones have no MACs."""
    blocks: list[tuple[Keys, Ints]] = []
    single: list[tuple[Keys, Ints]] = []
    for index, row in enumerate(operators(columns).of_kind(*PRODUCTS)):
        key = np.full(row.m.shape, index + 1, np.uint64)
        for size, factor in zip((row.batch, row.m, row.k, row.n), _MIX, strict=True):
            key = _mixed(key ^ (size.astype(np.uint64) * factor))
        single.append((key, row.macs))
        if row.macs.shape == columns.num_heads.shape and row.macs.shape[1] > 1:
            blocks.append((key, row.macs))
    if blocks:
        whole_key = np.zeros_like(blocks[0][0])
        for key, _ in blocks:
            whole_key = _mixed(whole_key ^ key)
        single.append((whole_key, np.add.reduce([macs for _, macs in blocks])))
    return np.concatenate([key for key, _ in single], axis=1), np.concatenate([macs for _, macs in single], axis=1)


def _mixed(key: Keys) -> Keys:
    key = (key ^ (key >> np.uint64(30))) * _MIX[1]
    mixed: Keys = (key ^ (key >> np.uint64(27))) * _MIX[2]
    return mixed


def fit_lookup(inputs: Inputs, latency_ms: Floats, seed: int, groups: Any = None) -> Lookup:
    """Ridge regression on the relative error of the line through the MACs; its penalty by cross-validation."""
    if inputs.columns is None:
        raise InputError("The kind 'lookup' needs subnets, not a table of columns.")
    errors = np.zeros(len(_PENALTIES))
    for train, test in folds(len(inputs), seed, groups):
        seen = inputs.rows(train)
        line = fit_flops(seen, latency_ms[train], seed)
        for row, penalty in enumerate(_PENALTIES):
            found = _fit(seen, line, latency_ms[train], penalty).predict(inputs.rows(test))
            errors[row] += relative_error(found, latency_ms[test]) * len(test)
    return _fit(inputs, fit_flops(inputs, latency_ms, seed), latency_ms, _PENALTIES[int(np.argmin(errors))])


def _fit(inputs: Inputs, line: Line, latency_ms: Floats, penalty: float) -> Lookup:
    assert inputs.columns is not None
    keys, macs = parts(inputs.columns)
    known, where = np.unique(keys[macs > 0], return_inverse=True)
    rows = np.nonzero(macs > 0)[0]
    shape = (len(latency_ms), len(known))
    unit = float(macs.sum(axis=1).mean())
    shares = csr_matrix((macs[macs > 0] / unit / latency_ms[rows], (rows, where)), shape)
    missed = 1 - line.of(inputs.table) / latency_ms
    gram = (shares @ shares.T).toarray()
    weights = np.linalg.solve(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), missed)
    return Lookup(line, known, shares.T @ weights / unit)
