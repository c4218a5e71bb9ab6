"""A predictor for a new target from an old one and a few measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.features import Floats, Inputs, Scale
from vitas_hw.predictors.folds import folds, relative_error
from vitas_hw.predictors.kinds import Model, kind_named
from vitas_hw.predictors.predictor import Predictor, assemble, checked_examples
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
_PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1e4)  # the last leaves one factor for all
_SLACK = 0.5  # of the range of corrections seen, beyond it
_WORTH_IT = 0.9  # the line must err by 10% less than the old prediction: few measurements flatter it


def transfer(
    old: Predictor,
    subnets: Sequence[Subnet],
    latency_ms: Sequence[float],
    *,
    target: Target,
    noise_floor: float | None = None,
    profile_sha256: str = "",
    fingerprint: str = "",
    seed: int = 0,
) -> Predictor:
    """A predictor for ``target``: the old prediction, corrected by a small ridge regression.

    Where the new target has so little to do with the old one that a physical line through the new measurements
    predicts better, that line takes the old prediction's place.

    Args:
        old: a predictor of the same space, of any target.
        subnets: N >= 8 subnets of that space, best those of ``choose_to_measure``.
        latency_ms: (N,) their milliseconds on the new target.
        target: the new one.
        noise_floor: of the measurements, if known.
        profile_sha256: of their profile.
        fingerprint: of the hardware.
        seed: of folds.

    Raises:
        InputError: subnets of other images or classes; a latency that is not positive and finite.
        VitasError: too few different subnets.
    """
    old.check_subnets(subnets)
    scale = Scale.of(target)
    inputs, measured = checked_examples(subnets, latency_ms, scale, FEWEST_TO_TRANSFER)
    held_out = np.empty(len(measured))
    for train, test in folds(len(measured), seed):
        held_out[test] = _fit(old, inputs.rows(train), measured[train], scale, seed).predict(inputs.rows(test))
    return assemble(
        Corrected.kind,
        _fit(old, inputs, measured, scale, seed),
        inputs.table,
        held_out,
        measured,
        noise_floor=noise_floor,
        target=target,
        space=old.space,
        profile_sha256=profile_sha256,
        fingerprint=fingerprint,
        seed=seed,
    )


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
    table = with_before(Inputs.of(SubnetColumns.of(different), old.scale), old.model, old.scale)
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


def _fit(old: Predictor, inputs: Inputs, latency_ms: Floats, scale: Scale, seed: int) -> Corrected:
    """The better, by cross-validation, of correcting the old model and correcting a line of the new measurements."""
    split = folds(len(inputs), seed)
    fit_linear = kind_named("linear").fit

    def both(rows: Inputs, latency: Floats) -> list[tuple[str, Model, Scale]]:
        return [(old.kind, old.model, old.scale), ("linear", fit_linear(rows, latency, seed), scale)]

    held_out = np.empty((2, len(_PENALTIES), len(latency_ms)))
    for train, test in split:
        seen, unseen = inputs.rows(train), inputs.rows(test)
        for base, before in enumerate(both(seen, latency_ms[train])):
            for row, penalty in enumerate(_PENALTIES):
                held_out[base, row, test] = _correct(before, seen, latency_ms[train], penalty).predict(unseen)
    errors = np.array([[relative_error(row, latency_ms) for row in rows] for rows in held_out])
    base = int(errors[1].min() < errors[0].min() * _WORTH_IT)
    penalty = _PENALTIES[int(np.argmin(errors[base]))]
    return _correct(both(inputs, latency_ms)[base], inputs, latency_ms, penalty)


def _correct(before: tuple[str, Model, Scale], inputs: Inputs, latency_ms: Floats, penalty: float) -> Corrected:
    table = with_before(inputs, before[1], before[2])
    residual = np.log(latency_ms / table.columns((BEFORE,))[:, 0])
    return Corrected(*before, Smooth.fit(table, residual, penalty, _COLUMNS, _SLACK))
