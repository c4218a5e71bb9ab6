"""What a predictor is fitted to: measured subnets of a space, or any examples with a positive number each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.labels import Labeller, Labels
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import DEFAULT_STATISTIC
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.cross_validation import Fold, folds
from vitas_hw.predictors.features import FeatureTable, Floats, Ints, Rows, Scale, features

FEWEST = 20  # examples that a fit needs


class Model(Protocol):
    """A fitted regression, a dataclass whose fields are JSON by ``as_json`` and come back by ``read``."""

    def predict(self, table: FeatureTable) -> Floats:
        """(N,) positive milliseconds."""
        ...


class HeldOut(NamedTuple):
    """A fold: what a model may see, what it is tested on, and which rows those are."""

    seen: Examples
    tested: Examples
    rows: Ints


@dataclass(frozen=True)
class Examples:
    """N measured examples as the kinds of predictor see them.

    Args:
        table: what is predicted from.
        measured: (N,) positive milliseconds, or what else a table's column holds.
        groups: (N,) rows of one group are held out together; None has no groups.
        error, visits, visit_error: of the labels, see ``Labels``.
        relabel: gives the labels of a fold, without a look at the rows that are tested; None where the labels are what
            was measured, with no correction fitted to other rows.
    """

    table: FeatureTable
    measured: Floats
    groups: npt.NDArray[np.generic] | None = None
    error: Floats | None = None
    visits: Floats | None = None
    visit_error: Floats | None = None
    relabel: Labeller | None = None

    def __len__(self) -> int:
        return len(self.measured)

    def rows(self, chosen: Rows) -> Examples:
        """Some of them; where one group is left, without groups: its own rows choose the hyperparameters then."""
        groups = None if self.groups is None else self.groups[chosen]
        several = groups is not None and len(np.unique(groups)) > 1
        beside = [None if part is None else part[chosen] for part in (self.error, self.visits, self.visit_error)]
        labels = Labels(self.measured[chosen], *beside)
        return Examples(self.table.rows(chosen), labels.measured, groups if several else None)._with(labels)

    @cached_property
    def weights(self) -> Floats | None:
        """(N,) how much a fit heeds each, 1 on average: the inverse of its squared uncertainty plus the median one, as
        a model errs too. None where the uncertainty is not known: all alike.
        """
        if self.error is None or not self.error.any():
            return None
        weights: Floats = 1 / (self.error**2 + np.median(self.error[self.error > 0]) ** 2)
        weights /= weights.mean()
        return weights

    def folds(self, seed: int) -> list[Fold]:
        """See ``cross_validation.folds``."""
        return folds(len(self), seed, self.groups)

    def split(self, seed: int) -> list[HeldOut]:
        """The folds, the labels of each by corrections that were fitted to the rows seen and no other."""
        parts = []
        for train, test in self.folds(seed):
            labelled = self if self.relabel is None else self._with(self.relabel(train))
            parts.append(HeldOut(labelled.rows(train), labelled.rows(test), test))
        return parts

    def tested(self, seed: int) -> Examples:
        """These examples, each with the label under which ``split`` tests it."""
        if self.relabel is None:
            return self
        parts = self.split(seed)
        back = np.argsort(np.concatenate([part.rows for part in parts]))

        def joined(name: str) -> Floats | None:
            found: list[Any] = [getattr(part.tested, name) for part in parts]
            return None if found[0] is None else np.concatenate(found)[back]

        measured = joined("measured")
        assert measured is not None
        return self._with(Labels(measured, *(joined(name) for name in ("error", "visits", "visit_error"))))

    def held_out(self, fit: Callable[[Examples], Model], seed: int) -> Floats:
        """(N,) milliseconds: each row predicted by a model of the other folds. Its label is that of ``tested``."""
        predicted = np.empty(len(self))
        for seen, tested, rows in self.split(seed):
            predicted[rows] = fit(seen).predict(tested.table)
        return predicted

    def _with(self, labels: Labels) -> Examples:
        found = {field.name: getattr(labels, field.name) for field in fields(labels)}
        return replace(self, **found, relabel=None)


@dataclass(frozen=True)
class Measured:
    """N subnets of a space, measured on one target.

    Args:
        subnets: one may stand there several times.
        latency_ms: (N,).
        target, space: of all of them.
        labeller: gives the N latencies, with how sure each is; ``latency_ms`` are then those by all rows, and no
            subnet stands there twice. None takes ``latency_ms`` as they are.
        statistic: one of ``STATISTICS``: what the latencies are.
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
    labeller: Labeller | None = None
    statistic: str = DEFAULT_STATISTIC

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
        table = features(SubnetColumns.of(list(rows)), Scale.of(self.target))
        if self.labeller is not None:
            assert len(rows) == len(self.subnets)
            found = self.labeller(np.arange(len(rows)))
            return Examples(table, found.measured, None, found.error, found.visits, found.visit_error, self.labeller)
        return Examples(table, np.array([np.median(values) for values in rows.values()]))
