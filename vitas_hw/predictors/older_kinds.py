"""The kinds ``lookup`` and ``mlp``, which are fitted no longer: files of them predict what they always did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, PlainValidator

from vitas_hw.core.operators import PRODUCTS, SubnetColumns, operators
from vitas_hw.predictors.features import FeatureTable, Floats, Ints
from vitas_hw.predictors.line import Line, Standard
from vitas_hw.predictors.sealed_file import Array, LogRange, read

HIDDEN = 16  # units of the network
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64)
_Key = Annotated[int, Field(strict=True, ge=0)]
Keys = Annotated[npt.NDArray[np.uint64], PlainValidator(lambda data: np.array(read(list[_Key], data), np.uint64))]


@dataclass(frozen=True)
class Mlp:
    """``line x exp(network)``: one hidden layer of tanh units, ``weights`` and ``biases`` layer by layer."""

    line: Line
    standard: Standard
    weights: tuple[Array, Array]
    biases: tuple[Array, Array]
    range: LogRange

    def __post_init__(self) -> None:
        shapes = [(len(self.standard.names), HIDDEN), (HIDDEN, 1), (HIDDEN,), (1,)]
        if [part.shape for part in (*self.weights, *self.biases)] != shapes:
            raise ValueError("the network's layers do not fit")

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) milliseconds."""
        hidden = np.tanh(self.standard(table) @ self.weights[0] + self.biases[0])
        correction = (hidden @ self.weights[1] + self.biases[1])[:, 0]
        return self.line.predict(table) * np.exp(np.clip(correction, *self.range))


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
    corrections: Array

    def __post_init__(self) -> None:
        if self.corrections.shape != self.keys.shape or (self.keys[1:] <= self.keys[:-1]).any():
            raise ValueError("the keys are not increasing, or have not one correction each")

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


def parts(columns: SubnetColumns) -> tuple[Keys, Ints]:
    """(N, P) the hash and the MACs of every product, and of every block as a whole; absent ones have no MACs."""
    keys, macs = [], []
    blocks = columns.num_heads.shape
    block_keys, block_macs = np.zeros(blocks, np.uint64), np.zeros(blocks, np.int64)
    for index, row in enumerate(operators(columns).of_kind(*PRODUCTS)):
        key = np.full(row.m.shape, index + 1, np.uint64)
        for size, factor in zip((row.batch, row.m, row.k, row.n), _MIX, strict=True):
            key = _mixed(key ^ (size.astype(np.uint64) * factor))
        keys.append(key)
        macs.append(row.macs)
        if row.macs.shape == blocks:
            block_keys, block_macs = _mixed(block_keys ^ key), block_macs + row.macs
    if blocks[1] > 1:
        keys.append(block_keys)
        macs.append(block_macs)
    return np.concatenate(keys, axis=1), np.concatenate(macs, axis=1)


def _mixed(key: Keys) -> Keys:
    key = (key ^ (key >> np.uint64(30))) * _MIX[1]
    mixed: Keys = (key ^ (key >> np.uint64(27))) * _MIX[2]
    return mixed
