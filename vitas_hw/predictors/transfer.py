"""A predictor for a new target from an old one and a few measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
from threadpoolctl import threadpool_limits

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.cross_validation import plainest
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.features import features
from vitas_hw.predictors.line import Smooth, Standard, fit_line
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.registry import BEFORE, Corrected, with_before

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
    known = replace(examples, table=with_before(examples.table, old.regression.model, old.scale))
    held_out = known.held_out(partial(_fit, old=old, seed=seed), seed)
    model = _fit(known, old, seed)
    return Predictor.of(measured, examples, Corrected.kind, model, held_out, seed)


def choose_to_measure(old: Predictor, candidates: Sequence[Subnet], count: int, seed: int = 0) -> list[Subnet]:
    """Which subnets tell most about a new target: the fastest, the slowest, and one in the middle of each of
    ``count - 2`` clusters of what the correction looks at.

    Raises:
        InputError: fewer candidates than ``count``, or a ``count`` below 2.
    """
    from sklearn.cluster import KMeans  # predicting needs none of it

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
def _fit(examples: Examples, old: Predictor, seed: int) -> Corrected:
    """Columns of the line and penalty of the correction by cross-validation."""
    fits = {choice: partial(_correct, old=old, choice=choice) for choice in product(_LINES, _PENALTIES)}
    held_out = {choice: examples.held_out(fit, seed) for choice, fit in fits.items()}
    return fits[plainest(held_out, examples.measured, _WORTH_IT, examples.weights)](examples)


def _correct(examples: Examples, old: Predictor, choice: tuple[tuple[str, ...], float | None]) -> Corrected:
    names, penalty = choice
    line, correction = fit_line(examples, names), None
    if penalty is not None:
        residual = np.log(examples.measured / line.predict(examples.table))
        correction = Smooth.fit(examples.table, residual, penalty, _COLUMNS, _SLACK, examples.weights)
    return Corrected(old.kind, old.regression.model, old.scale, line, correction)
