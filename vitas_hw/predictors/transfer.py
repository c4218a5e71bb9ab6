"""A predictor for a new target from an old one and a few measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.cross_validation import folds, relative_error
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.features import FeatureTable, Floats, features
from vitas_hw.predictors.line import Line, fit_line
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.smooth import Smooth, Standard
from vitas_hw.predictors.transfer_model import BEFORE, Corrected, with_before

FEWEST_TO_TRANSFER = 8
# what two machines disagree about: a call's price, memory, attention, thin heads; the rest is in the old prediction
_COLUMNS = (
    BEFORE,
    "macs",
    "operators",
    "weight_bytes",
    "moved_bytes",
    "attention.macs",
    "softmax.moved",
    "tokens",
    "head_width",
)
_LINES = ((BEFORE,), (BEFORE, "operators", "macs"), (BEFORE, *_COLUMNS[1:7], "heads"))
_PENALTIES = (None, 100.0, 30.0, 10.0)  # the first leaves the line as it is
_WORTH_IT = 0.95  # a richer correction must make held-out errors smaller by 5%: few measurements flatter it
_SLACK = 0.5  # of the range of corrections seen, beyond it


def transfer(old: Predictor, measured: Measured, seed: int = 0) -> Predictor:
    """A predictor for the target of ``measured``: a non-negative line through the old prediction and the few kinds of
    work that the new target may be worse at, then a small ridge regression. Where the targets have nothing in common,
    the line does without the old prediction.

    Args:
        old: a predictor of the same space, of any target.
        measured: N >= 8 subnets of that space on the new target, best those of ``choose_to_measure``.
        seed: of folds.

    Raises:
        InputError: subnets of other images or classes; a latency that is not positive and finite.
        VitasError: too few different subnets.
    """
    old.check_subnets(measured.subnets)
    examples = measured.examples(FEWEST_TO_TRANSFER)
    table, latency_ms = with_before(examples.table, old.regression.model, old.scale), examples.measured
    held_out = np.empty(len(latency_ms))
    for train, test in folds(len(latency_ms), seed):
        held_out[test] = _fit(old, table.rows(train), latency_ms[train], seed).of(table.rows(test))
    model = _fit(old, table, latency_ms, seed)
    return Predictor.of(measured, examples, Corrected.kind, model, held_out, seed)


def choose_to_measure(old: Predictor, candidates: Sequence[Subnet], count: int, seed: int = 0) -> list[Subnet]:
    """Which subnets tell most about a new target: the fastest, the slowest, and one in the middle of each of
    ``count - 2`` clusters of what the correction looks at.

    Raises:
        InputError: fewer candidates than ``count``, or a ``count`` below 2.
    """
    different = list(dict.fromkeys(candidates))
    if not 2 <= count <= len(different):
        raise InputError(
            f"From {len(different)} different candidates, 2 to {len(different)} can be chosen, not {count}."
        )
    old.check_subnets(different)
    table = with_before(features(SubnetColumns.of(different), old.scale), old.regression.model, old.scale)
    before = table.columns((BEFORE,))[:, 0]
    chosen = list(dict.fromkeys([int(np.argmin(before)), int(np.argmax(before))]))
    points = Standard.of(table, _COLUMNS)(table)
    centres = count - len(chosen)
    if centres:
        clusters = min(centres, len(np.unique(points, axis=0)))
        means = KMeans(clusters, n_init=3, random_state=seed).fit(points).cluster_centers_
        for mean in means:
            distance = ((points - mean) ** 2).sum(axis=1)
            distance[chosen] = np.inf
            chosen.append(int(np.argmin(distance)))
    rest = (index for index in np.random.default_rng(seed).permutation(len(different)).tolist() if index not in chosen)
    chosen += [next(rest) for _ in range(count - len(chosen))]  # equal points make fewer clusters
    return [different[index] for index in chosen]


@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]
def _fit(old: Predictor, table: FeatureTable, latency_ms: Floats, seed: int) -> Corrected:
    """Columns of the line and penalty of the correction by cross-validation."""
    held_out = np.empty((len(_LINES), len(_PENALTIES), len(latency_ms)))
    for train, test in folds(len(table), seed):
        seen, unseen = table.rows(train), table.rows(test)
        for i, names in enumerate(_LINES):
            line = fit_line(seen, names, latency_ms[train])
            for j, penalty in enumerate(_PENALTIES):
                held_out[i, j, test] = _correct(old, line, seen, latency_ms[train], penalty).of(unseen)
    best, best_error = (0, 0), np.inf
    for i, j in np.ndindex(held_out.shape[:2]):
        error = relative_error(held_out[i, j], latency_ms)
        if error < best_error * _WORTH_IT:
            best, best_error = (i, j), error
    line = fit_line(table, _LINES[best[0]], latency_ms)
    return _correct(old, line, table, latency_ms, _PENALTIES[best[1]])


def _correct(old: Predictor, line: Line, table: FeatureTable, latency_ms: Floats, penalty: float | None) -> Corrected:
    correction = None
    if penalty is not None:
        correction = Smooth.fit(table, np.log(latency_ms / line.predict(table)), penalty, _COLUMNS, _SLACK)
    return Corrected(old.kind, old.regression.model, old.scale, line, correction)
