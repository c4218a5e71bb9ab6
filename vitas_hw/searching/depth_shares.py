"""How often each depth is trained so that sampled subnets cost what the budget allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitas_hw.core.budget import Budget, show_cost
from vitas_hw.core.depths import Shares, identity_depths, tilted_depths, uniform_depths
from vitas_hw.core.errors import InfeasibleBudgetError
from vitas_hw.searching.costs import Costs

DEPTHS = ("uniform", "identity")
_SAMPLES = 1000
_STEPS = 30
_FLOOR = 0.9  # of a bare ceiling, as in the paper's 1G run: 0.9G to 1G
_UNASKED = 0.5  # identity probability without a budget, where the paper's search of it starts
_STEEPEST = 5.0  # of a tilt: all that is free to move has then the fewest or the most blocks


@dataclass(frozen=True)
class DepthShares:
    """How the depths of random subnets are drawn.

    Args:
        shares: of each depth, from the fewest blocks to the most.
        means: of each asked cost, over 1,000 subnets drawn so; empty without a budget.
        identity: the probability that gave the shares; None if they are not the paper's.
    """

    shares: Shares
    means: dict[str, float]
    identity: float | None = None


def depth_shares(costs: Costs, budget: Budget, *, how: str = "uniform", seed: int) -> DepthShares:
    """Shares of the depths under which random subnets have, in the mean, a cost in the budget's range.

    ``uniform`` draws all depths equally often without a budget. With one, the shares grow or fall with depth until the
    mean is in the range, from 0.9 of a bare ceiling; but no depth gets less than half of an equal share, so that every
    block is trained, and where the range cannot be reached with that, the nearest is taken. ``identity`` searches the
    paper's identity probability for the range (ViTAS section 3.4); without a budget it is 0.5.

    With several costs, the one nearest to its ceiling counts. The samples are drawn with the same seed each time.

    Raises:
        InfeasibleBudgetError: no subnet fits the budget; or ``identity``, and no probability gets there.
    """
    space = costs.space
    if not budget.asked:
        if how == "identity":
            return DepthShares(identity_depths(space, _UNASKED), {}, _UNASKED)
        return DepthShares(uniform_depths(space), {})
    if how == "identity":
        return _by_identity(costs, budget, seed)
    costs.feasible_code(budget)
    lower, upper = -_STEEPEST, _STEEPEST
    if _load(costs, budget, tilted_depths(space, lower), seed)[1] > 1.0:
        tilt = lower
    elif _below(_load(costs, budget, tilted_depths(space, upper), seed)):
        tilt = upper
    else:
        tilt, _ = _bisected(lambda at: tilted_depths(space, at), costs, budget, seed, lower, upper)
    shares = tilted_depths(space, tilt)
    return DepthShares(shares, _means(costs, budget, shares, seed))


def _by_identity(costs: Costs, budget: Budget, seed: int) -> DepthShares:
    space = costs.space
    q, inside = _bisected(lambda q: identity_depths(space, 1 - q), costs, budget, seed, 0.0, 1.0)
    if inside:
        shares = identity_depths(space, 1 - q)
        return DepthShares(shares, _means(costs, budget, shares, seed), 1 - q)
    ends = [_means(costs, budget, identity_depths(space, end), seed) for end in (1.0, 0.0)]
    reach = "; ".join(f"{show_cost(ends[0][cost], cost)} to {show_cost(ends[1][cost], cost)}" for cost in budget.asked)
    raise InfeasibleBudgetError(
        f"No identity probability gives subnets of {space.name!r} a mean of {budget}: means reach {reach}.",
        "Train with a budget in that range, or with none (identity probability 0.5).",
    )


def _bisected(
    shares: Callable[[float], Shares], costs: Costs, budget: Budget, seed: int, lower: float, upper: float
) -> tuple[float, bool]:
    """A value of the range whose mean lies inside the budget, and whether it does; larger values cost more."""
    for _ in range(_STEPS):
        middle = (lower + upper) / 2
        found = _load(costs, budget, shares(middle), seed)
        if not _below(found) and found[1] <= 1.0:
            return middle, True
        lower, upper = (middle, upper) if _below(found) else (lower, middle)
    return (lower + upper) / 2, False


def _below(load: tuple[float, float]) -> bool:
    return load[1] < load[0]


def _load(costs: Costs, budget: Budget, shares: Shares, seed: int) -> tuple[float, float]:
    """The floor and the mean of the cost that is nearest to its ceiling, both as shares of the ceiling."""
    means, loads = _means(costs, budget, shares, seed), []
    for cost, bounds in budget.asked.items():
        if bounds.high is None:
            assert bounds.low is not None
            loads.append((_FLOOR, means[cost] / (bounds.low / _FLOOR)))
        else:
            floor = _FLOOR if bounds.low is None else bounds.low / bounds.high
            loads.append((floor, means[cost] / bounds.high))
    return max(loads, key=lambda load: load[1])


def _means(costs: Costs, budget: Budget, shares: Shares, seed: int) -> dict[str, float]:
    codes = costs.space.sample_codes(_SAMPLES, np.random.default_rng(seed), shares)
    found = costs.of(codes)
    return {cost: float(found[cost].mean()) for cost in budget.asked}


def described(found: DepthShares, budget: Budget) -> str:
    """One sentence for whoever trains."""
    if found.identity is not None:
        how = f"identity probability {found.identity:.3f}"
    elif budget.asked:
        how = f"depths drawn in shares from {min(found.shares):.1%} to {max(found.shares):.1%}"
    else:
        how = f"each of the {len(found.shares)} depths is drawn equally often"
    means = ", ".join(show_cost(mean, cost) for cost, mean in found.means.items())
    return f"{how} for a budget of {budget}: mean {means}" if budget.asked else f"{how} (no budget given)"
