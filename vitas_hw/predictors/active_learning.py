"""Profiling where the predictor is least sure, and for as long as it helps."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.features import FeatureTable, Floats, Scale, features
from vitas_hw.predictors.kinds import DEFAULT_KIND
from vitas_hw.predictors.line import Standard
from vitas_hw.predictors.registry import fit_model

_PATIENCE = 3  # batches over which more samples must have helped
_HELPS = 0.05  # by this share of the error
_SHORT_LIST = 5  # candidates a place, of which the spread is chosen


def doubt(known: Measured, table: FeatureTable, kind: str = DEFAULT_KIND, seed: int = 0) -> Floats:
    """(N,) how much models that were each fitted without one fold disagree about the latencies of ``features``.

    Raises:
        InputError: an unknown kind, or a latency that is not positive and finite.
        VitasError: fewer than 20 subnets.
    """
    examples = known.examples()
    members = [fit_model(kind, examples.rows(train), seed) for train, _ in examples.folds(seed)]
    return np.log([member.predict(table) for member in members]).std(axis=0)  # type: ignore[no-any-return]


def choose_next(
    known: Measured,
    candidates: Sequence[Subnet],
    tried: Collection[Subnet],
    count: int,
    kind: str = DEFAULT_KIND,
    seed: int = 0,
) -> list[Subnet]:
    """The next subnets to measure: those whose latency is doubted most, and unlike each other.

    Args:
        known: what was measured.
        candidates: subnets of the space.
        tried: these are not chosen again.
        count: how many.
        kind, seed: of the models.

    Raises:
        InputError: fewer than ``count`` candidates are left; otherwise as ``doubt``.
    """
    tried = set(tried)
    open_ones = [subnet for subnet in dict.fromkeys(candidates) if subnet not in tried]
    if not 1 <= count <= len(open_ones):
        raise InputError(f"{len(open_ones)} candidates are not measured yet; {count} cannot be chosen of them.")
    table = features(SubnetColumns.of(open_ones), Scale.of(known.target))
    doubts = doubt(known, table, kind, seed)
    short = np.argsort(-doubts, kind="stable")[: _SHORT_LIST * count]
    points = Standard.of(table.rows(short))(table.rows(short))
    chosen: list[int] = [0]
    farness = ((points - points[0]) ** 2).sum(axis=1)
    while len(chosen) < count:
        worth = (doubts[short] + 1e-12) * np.sqrt(farness)
        worth[chosen] = -1.0
        chosen.append(int(np.argmax(worth)))
        farness = np.minimum(farness, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return [open_ones[short[index]] for index in chosen]


def keep_going(history: Sequence[tuple[int, float]], wanted: float) -> tuple[bool, str]:
    """Whether to measure another batch, and why.

    Args:
        history: (subnets measured, cross-validated MAPE) after each batch, first to last.
        wanted: the MAPE to reach, a fraction.
    """
    if not history:
        return True, "nothing has been measured yet"
    count, error = history[-1]
    found = f"the error on unseen subnets is {error:.1%} with {count} subnets, {wanted:.1%}"
    if error <= wanted:
        return False, f"reached: {found} was asked"
    if len(history) > _PATIENCE:
        before_count, before = history[-1 - _PATIENCE]
        best = min(later for _, later in history[-_PATIENCE:])
        if best > before * (1 - _HELPS):
            return False, (
                f"more samples stopped helping: {before:.1%} with {before_count} subnets, {error:.1%} with {count};"
                f" {wanted:.1%} was asked"
            )
    return True, f"{found} is asked"
