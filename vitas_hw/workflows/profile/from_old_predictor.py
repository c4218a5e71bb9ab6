"""A new target from an old predictor: which subnets to measure, the predictor, and what fewer would have given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitas_hw.core.errors import InputError, invalid
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.cross_validation import scores
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.predictors.transfer import FEWEST_TO_TRANSFER, choose_to_measure, transfer
from vitas_hw.profiling.profile import Profile
from vitas_hw.profiling.selection import choose_subnets
from vitas_hw.workflows.fit import measured_of

_CANDIDATES = 1000
_COUNTS = (10, 20, 50)
_FEWEST_TO_TEST = 8


@dataclass(frozen=True)
class WouldHave:
    """What ``count`` measured subnets give: MAPE and Spearman on ``tested`` others; None where too few are left."""

    count: int
    tested: int
    mape: float | None
    spearman: float | None


def old_predictor(name_or_path: str | Path, space: SearchSpace) -> Predictor:
    """A predictor to start from. Raises InputError if it is one of another space."""
    old = load_predictor(name_or_path)
    if old.space != space:
        raise InputError(
            f"The predictor {old.name} is one of the space {old.space.name!r}, not {space.name!r}.",
            f"Give one of {space.name!r}, or profile with `space={old.space.name}`.",
            field="old",
            value=str(name_or_path),
        )
    return old


def telling_subnets(old: Predictor, count: int, seed: int) -> list[Subnet]:
    """The subnets to measure. Raises InputError if they are fewer than a transfer needs."""
    if count < FEWEST_TO_TRANSFER:
        raise invalid("num_subnets", count, f"at least {FEWEST_TO_TRANSFER}, for a transfer")
    pool = min(max(_CANDIDATES, 2 * count), max(old.space.size // 2, count))
    return choose_to_measure(old, choose_subnets(old.space, pool, seed), count, seed)


def would_have(old: Predictor, profile: Profile, seed: int) -> list[WouldHave]:
    """What 10, 20 and 50 of the profile's subnets give, tested on its others."""
    known = measured_of(profile)
    latency = dict(zip(known.subnets, known.latency_ms, strict=True))
    return [_tried(old, profile, latency, count, seed) for count in _COUNTS]


def _tried(old: Predictor, profile: Profile, latency: dict[Subnet, float], count: int, seed: int) -> WouldHave:
    if len(latency) - count < _FEWEST_TO_TEST:
        return WouldHave(count, max(len(latency) - count, 0), None, None)
    chosen = choose_to_measure(old, list(latency), count, seed)
    rest = [subnet for subnet in latency if subnet not in set(chosen)]
    known = Measured(chosen, [latency[subnet] for subnet in chosen], profile.target, profile.space)
    new = transfer(old, known, seed)
    found = scores(new.predict(rest).latency_ms, np.array([latency[subnet] for subnet in rest]))
    return WouldHave(count, len(rest), found["mape"], found["spearman"])
