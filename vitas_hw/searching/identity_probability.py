"""The identity probability that makes sampled subnets cost what the budget allows (ViTAS section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitas_hw.core.budget import Budget, show_cost
from vitas_hw.core.errors import InfeasibleBudgetError
from vitas_hw.searching.costs import Costs

_SAMPLES = 1000
_STEPS = 30
_FLOOR = 0.9  # of a bare ceiling, as in the paper's 1G run: 0.9G to 1G


@dataclass(frozen=True)
class IdentityProbability:
    """``p`` for every optional block, and the mean of each asked cost over 1,000 subnets drawn with it."""

    p: float
    means: dict[str, float]


def identity_probability(costs: Costs, budget: Budget, *, seed: int) -> IdentityProbability:
    """Bisection on the mean cost of 1,000 samples until it lies in the budget's range, from 0.9 of a bare ceiling.

    With several costs, the one nearest to its ceiling counts. The samples are drawn with the same seed at each p.

    Raises:
        InfeasibleBudgetError: no probability gets there; says which means can be reached.
    """
    lower, upper = 0.0, 1.0
    p = 0.5
    for _ in range(_STEPS):
        means = _means(costs, budget, p, seed)
        load, floor = max(_load(means[cost], bounds.high, bounds.low) for cost, bounds in budget.asked.items())
        if floor <= load <= 1.0:
            return IdentityProbability(p, means)
        lower, upper = (p, upper) if load > 1.0 else (lower, p)
        p = (lower + upper) / 2
    ends = [_means(costs, budget, end, seed) for end in (1.0, 0.0)]
    reach = "; ".join(f"{show_cost(ends[0][cost], cost)} to {show_cost(ends[1][cost], cost)}" for cost in budget.asked)
    raise InfeasibleBudgetError(
        f"No identity probability gives subnets of {costs.space.name!r} a mean of {budget}: means reach {reach}.",
        "Train with a budget in that range, or with none (identity probability 0.5).",
    )


def _means(costs: Costs, budget: Budget, p: float, seed: int) -> dict[str, float]:
    codes = costs.space.sample_codes(_SAMPLES, np.random.default_rng(seed), p)
    found = costs.of(codes)
    return {cost: float(found[cost].mean()) for cost in budget.asked}


def _load(mean: float, high: float | None, low: float | None) -> tuple[float, float]:
    """The mean and the floor, both as shares of the ceiling."""
    if high is None:
        assert low is not None
        return mean / (low / _FLOOR), _FLOOR
    return mean / high, _FLOOR if low is None else low / high
