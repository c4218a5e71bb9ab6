"""How much memory a subnet needs when it runs, before it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target

Floats = npt.NDArray[np.float64]
FEWEST = 12  # measured subnets that an estimate is fitted to
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes as a constant, a multiple of the weights' bytes and one of the largest operator's activations.

    Unfitted it counts what no runtime can do without: each weight once, and the activations that the largest operator
    reads and writes. That is a lower bound, of which only measured finalists show how far it lies below.

    Args:
        target: whose precision weights and activations have, and whose batch size.
        factors: of the constant (in bytes), the weights, the activations.
        fitted_to: subnets of known memory.
    """

    target: Target
    factors: tuple[float, float, float] = (0.0, 1.0, 1.0)
    fitted_to: int = 0

    def bytes_of(self, columns: SubnetColumns) -> Floats:
        """(N,) of N subnets."""
        found: Floats = _parts(self.target, columns) @ np.array(self.factors)
        return found

    @classmethod
    def fitted(cls, target: Target, peak_bytes: dict[Subnet, int]) -> MemoryEstimate:
        """By least squares, no factor below zero, to the peaks of a profile; unfitted if those are few."""
        if len(peak_bytes) < FEWEST:
            return cls(target)
        parts = _parts(target, SubnetColumns.of(list(peak_bytes)))
        factors = _least_squares(parts, np.array(list(peak_bytes.values()), np.float64))
        return cls(target, (float(factors[0]), float(factors[1]), float(factors[2])), len(peak_bytes))


def _parts(target: Target, columns: SubnetColumns) -> Floats:
    """(N, 3): one, bytes of the weights, bytes that the operator of most activations reads and writes."""
    table, size = operators(columns), _BYTES[target.precision]
    moved = np.max([(row.inputs + row.outputs).max(axis=1) for row in table.rows], axis=0)
    ones = np.ones(len(columns))
    return np.stack([ones, size * table.params, size * target.batch_size * moved], axis=1).astype(np.float64)


def _least_squares(parts: Floats, wanted: Floats) -> Floats:
    """(3,) factors of relative errors, none negative: those that would be are left out, one after the other."""
    weights = 1 / np.maximum(wanted, 1.0)
    kept: Sequence[int] = range(parts.shape[1])
    while True:
        factors = np.zeros(parts.shape[1])
        found = np.linalg.lstsq(parts[:, kept] * weights[:, None], wanted * weights, rcond=None)[0]
        factors[list(kept)] = found
        if (found >= 0).all():
            return factors
        kept = [place for place in kept if place != kept[int(found.argmin())]]
