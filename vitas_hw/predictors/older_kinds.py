"""The kinds ``lookup`` and ``mlp``, which are fitted no longer: files of them predict what they always did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vitas_hw.core.operators import PRODUCTS, SubnetColumns, operators
from vitas_hw.predictors.features import FeatureTable, Floats, Ints
from vitas_hw.predictors.line import Line
from vitas_hw.predictors.sealed_file import exactly, numbers, whole
from vitas_hw.predictors.smooth import Standard, log_range

HIDDEN = 16  # units of the network
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64)
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Mlp:
    """``line x exp(network)``: one hidden layer of tanh units, ``weights`` and ``biases`` layer by layer."""

    line: Line
    standard: Standard
    weights: tuple[Floats, Floats]
    biases: tuple[Floats, Floats]
    range: tuple[float, float]

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        hidden = np.tanh(self.standard(table) @ self.weights[0] + self.biases[0])
        correction = (hidden @ self.weights[1] + self.biases[1])[:, 0]
        return self.line.predict(table) * np.exp(np.clip(correction, *self.range))

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Mlp:
        """From the JSON of one. Raises ValueError on anything else."""
        exactly(data, ("line", "standard", "weights", "biases", "range"))
        standard = Standard.from_dict(data["standard"], names)
        (first, second), (bias, last) = data["weights"], data["biases"]
        weights = numbers(first, len(standard.names), HIDDEN), numbers(second, HIDDEN, 1)
        biases = numbers(bias, HIDDEN), numbers(last, 1)
        return cls(Line.from_dict(data["line"], names), standard, weights, biases, log_range(data["range"]))


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

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        line = self.line.predict(table)
        if table.subnets is None or not len(self.keys) or not len(table):
            return line
        keys, macs = parts(table.subnets)
        where = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = self.keys[where] == keys
        corrected = line + (macs * np.where(known, self.corrections[where], 0.0)).sum(axis=1)
        return np.maximum(corrected, self.line.least)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, data: Any, names: Sequence[str]) -> Lookup:
        """From the JSON of one. Raises ValueError on anything else."""
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
