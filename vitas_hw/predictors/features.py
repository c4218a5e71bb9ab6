"""What a predictor sees of a subnet: named, versioned columns, from the operators alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitas_hw.core.operators import KINDS, PRODUCTS, WEIGHTED, Operators

FEATURES_VERSION = 1
Floats = npt.NDArray[np.float64]
_TILE = 16  # the vector width of CPUs in float32 and the side of a GPU's matrix tile


@dataclass(frozen=True)
class FeatureTable:
    """``values`` (N, F) float64 and the F ``names`` of its columns."""

    names: tuple[str, ...]
    values: Floats

    def columns(self, names: tuple[str, ...]) -> Floats:
        return self.values[:, [self.names.index(name) for name in names]]


def features(operators: Operators) -> FeatureTable:
    """Per kind of operator: how many, MACs, weights, activation elements moved; then products weighed by their shape.

    ``padded_macs`` are the MACs after rounding each product's inner and outer size up to a tile of 16; ``thin_macs``
    are those of products with fewer rows than a tile, which stay bound by loading the weights.
    """
    table: dict[str, Floats] = {"operators": _sum(row.present for row in operators.rows)}
    for kind in KINDS:
        rows = operators.of_kind(kind)
        table[f"{kind}.count"] = _sum(row.present for row in rows)
        table[f"{kind}.moved"] = _sum(part for row in rows for part in (row.inputs, row.outputs))
        if kind in PRODUCTS:
            table[f"{kind}.macs"] = _sum(row.macs for row in rows)
        if kind in WEIGHTED:
            table[f"{kind}.weights"] = _sum(row.weights for row in rows)
    products = operators.of_kind(*PRODUCTS)
    table["padded_macs"] = _sum(row.batch * row.m * _padded(row.k) * _padded(row.n) for row in products)
    table["thin_macs"] = _sum(np.where(row.m < _TILE, row.macs, 0) for row in products)
    table["largest_weight"] = np.max([row.weights.max(axis=1) for row in operators.rows], axis=0).astype(np.float64)
    attention = operators.of_kind("attention")
    table["heads"] = _sum(row.batch for row in attention)
    table["tokens"] = np.max([row.m.max(axis=1) for row in products], axis=0).astype(np.float64)
    return FeatureTable(tuple(table), np.stack(list(table.values()), axis=1))


def _padded(size: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return -(-size // _TILE) * _TILE


def _sum(parts: object) -> Floats:
    return np.add.reduce([part.sum(axis=1) for part in parts]).astype(np.float64)  # type: ignore[attr-defined,no-any-return]
