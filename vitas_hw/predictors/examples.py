"""What a predictor is fitted to: measured subnets of a space, or any examples with a positive number each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.cross_validation import Fold, folds
from vitas_hw.predictors.features import FeatureTable, Floats, Rows, Scale, features

FEWEST = 20  # examples that a fit needs


class Model(Protocol):
    """A fitted regression, a dataclass whose fields are JSON by ``as_json`` and come back by ``read``."""

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) positive milliseconds."""
        ...


@dataclass(frozen=True)
class Examples:
    """N measured examples as the kinds of predictor see them.

    Args:
        table: what is predicted from.
        measured: (N,) positive milliseconds, or what else a table's column holds.
        groups: (N,) rows of one group are held out together; None has no groups.
    """

    table: FeatureTable
    measured: Floats
    groups: npt.NDArray[np.generic] | None = None

    def __len__(self) -> int:
        return len(self.measured)

    def rows(self, chosen: Rows) -> Examples:
        """Some of them; where one group is left, without groups: its own rows choose the hyperparameters then."""
        groups = None if self.groups is None else self.groups[chosen]
        several = groups is not None and len(np.unique(groups)) > 1
        return Examples(self.table.rows(chosen), self.measured[chosen], groups if several else None)

    def folds(self, seed: int) -> list[Fold]:
        """See ``cross_validation.folds``."""
        return folds(len(self), seed, self.groups)

    def held_out(self, fit: Callable[[Examples], Model], seed: int) -> Floats:
        """(N,) milliseconds: each row predicted by a model of the other folds."""
        predicted = np.empty(len(self))
        for train, test in self.folds(seed):
            predicted[test] = fit(self.rows(train)).predict(self.table.rows(test))
        return predicted


@dataclass(frozen=True)
class Measured:
    """N subnets of a space, measured on one target.

    Args:
        subnets: one may stand there several times.
        latency_ms: (N,).
        target, space: of all of them.
        noise_floor: mean relative difference of two measurements, if it is known.
        profile_sha256: of the profile file; empty if it never was one.
        fingerprint: of the hardware.
    """

    subnets: Sequence[Subnet]
    latency_ms: Sequence[float] | Floats
    target: Target
    space: SearchSpace
    noise_floor: float | None = None
    profile_sha256: str = ""
    fingerprint: str = ""

    def examples(self, fewest: int = FEWEST) -> Examples:
        """Features and milliseconds; of a subnet measured several times, the median, where it stands first.

        Raises:
            InputError: a latency that is not positive and finite, or not one for each subnet.
            VitasError: fewer than ``fewest`` different subnets.
        """
        measured = np.asarray(self.latency_ms, np.float64)
        if measured.shape != (len(self.subnets),) or not (np.isfinite(measured) & (measured > 0)).all():
            raise InputError("Every subnet needs one latency, positive and finite, in milliseconds.")
        rows: dict[Subnet, list[float]] = {}
        for subnet, value in zip(self.subnets, measured.tolist(), strict=True):
            rows.setdefault(subnet, []).append(value)
        if len(rows) < fewest:
            problem = f"A predictor needs at least {fewest} measured subnets; this profile has {len(rows)}."
            raise VitasError(problem, f"Profile with `num_subnets={fewest}` or more.")
        medians = np.array([np.median(values) for values in rows.values()])
        return Examples(features(SubnetColumns.of(list(rows)), Scale.of(self.target)), medians)
