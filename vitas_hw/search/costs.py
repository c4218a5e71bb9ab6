"""What subnets cost, and which budgets any of them can meet, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget, cost_name, show_cost
from vitas_hw.core.errors import InfeasibleBudget, InputError
from vitas_hw.core.operators import Ints, SubnetColumns, operators
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace

Floats = npt.NDArray[np.float64]
_DESCENTS = 6
_MOST_STEPS = 400


class Predicts(Protocol):
    """As much of a predictor as a search needs."""

    def predict_columns(self, columns: SubnetColumns) -> object:
        """An object with ``latency_ms`` (N,)."""
        ...


@dataclass(frozen=True)
class Costs:
    """MACs, parameters and, with a predictor, latency of codes of a space."""

    space: SearchSpace
    predictor: Predicts | None = None

    def of(self, codes: Ints) -> dict[str, Floats]:
        """(N,) each: ``latency_ms`` (with a predictor), ``macs``, ``params`` of N canonical codes."""
        columns = self.space.columns(codes)
        table = operators(columns)
        costs = {"macs": table.macs.astype(np.float64), "params": table.params.astype(np.float64)}
        if self.predictor is not None:
            costs["latency_ms"] = self.predictor.predict_columns(columns).latency_ms  # type: ignore[attr-defined]
        return costs

    def excess(self, codes: Ints, budget: Budget) -> Floats:
        """(N,) how far each code lies outside the budget, relative to the bound it crosses most; 0 or less is inside."""
        costs = self._asked(codes, budget)
        return np.max([bounds.excess(costs[cost]) for cost, bounds in budget.asked.items()], axis=0)  # type: ignore[no-any-return]

    def reachable(self, cost: str) -> tuple[float, float]:
        """The smallest and largest value of one cost over the space, found by descent from its corners."""
        least = _descend(self.space, lambda codes: self.of(codes)[cost])[1]
        most = _descend(self.space, lambda codes: -self.of(codes)[cost])[1]
        return least, -most

    def feasible_code(self, budget: Budget) -> Ints:
        """(code_length,) a code inside the budget.

        Raises:
            InfeasibleBudget: there is none; says the range that each cost asked for can reach.
        """
        code, excess = _descend(self.space, lambda codes: self.excess(codes, budget), enough=0.0)
        if excess > 0:
            raise self._infeasible(budget)
        return code

    def _asked(self, codes: Ints, budget: Budget) -> Mapping[str, Floats]:
        if budget.latency_ms is not None and self.predictor is None:
            raise InputError("A latency budget needs a predictor.", "Run: vitas-hw profile")
        return self.of(codes)

    def _infeasible(self, budget: Budget) -> InfeasibleBudget:
        ranges = {cost: self.reachable(cost) for cost in budget.asked}
        reach = "; ".join(
            f"{'predicted ' if cost == 'latency_ms' else ''}{cost_name(cost)} from {show_cost(least, cost)} to"
            f" {show_cost(most, cost)}"
            for cost, (least, most) in ranges.items()
        )
        return InfeasibleBudget(
            f"No subnet of {self.space.name!r} fits the budget of {budget}: its subnets reach {reach}.",
            f"Try {_suggestion(budget, ranges)}",
        )


_OPTIONS = {"latency_ms": ("--latency", 1.0, "ms"), "macs": ("--flops", 1e9, "G"), "params": ("--params", 1e6, "M")}


def _suggestion(budget: Budget, ranges: Mapping[str, tuple[float, float]]) -> str:
    """Bounds a little inside what can be reached, for each cost that is out of reach, in the command's own words."""
    words = []
    for cost, bounds in budget.asked.items():
        least, most = ranges[cost]
        option, unit, suffix = _OPTIONS[cost]
        if bounds.high is not None and bounds.high < least:
            words.append(f"{option} {_round_up(least * 1.2 / unit)}{suffix} or more")
        elif bounds.low is not None and bounds.low > most:
            words.append(f"{option} with a lower bound of at most {most * 0.8 / unit:.2g}{suffix}")
    return " and ".join(words) if words else "a wider range, or fewer budgets at once."


def _round_up(value: float) -> str:
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return f"{np.ceil(value / step) * step:.2g}"


def _descend(space: SearchSpace, score: object, enough: float = -np.inf) -> tuple[Ints, float]:
    """The code of least ``score`` (codes (N, G) -> (N,)) that changing one gene at a time leads to.

    Starts from the best of the corners and a thousand fixed random codes; every descent is bounded.
    """
    rate = score
    starts = np.concatenate([_corners(space), space.sample_codes(1000, np.random.default_rng(0))])
    values = rate(starts)  # type: ignore[operator]
    best_code, best = starts[np.argmin(values)], float(values.min())
    for start in np.argsort(values, kind="stable")[:_DESCENTS]:
        code, value = starts[start], float(values[start])
        for _ in range(_MOST_STEPS):
            if value <= enough:
                return code, value
            around = _neighbours(space, code)
            if not len(around):
                break
            found = rate(around)  # type: ignore[operator]
            if found.min() >= value:
                break
            code, value = around[np.argmin(found)], float(found.min())
        if value < best:
            best_code, best = code, value
    return best_code, best


def _corners(space: SearchSpace) -> Ints:
    """Codes of every patch size with all other choices at their least or most, at the fewest and the most blocks."""
    last = space.cardinalities - 1
    rows = []
    for patch in range(len(space.patch_sizes)):
        for depth in space.depth:
            for widest in (False, True):
                for op in (1, len(space.num_heads)):
                    code = np.where(widest, last, 0)
                    code[0] = patch
                    ops = code[HEADER::PER_BLOCK]
                    ops[:depth], ops[depth:] = op, 0
                    rows.append(code)
    return space.canonical(np.array(rows))


def _neighbours(space: SearchSpace, code: Ints) -> Ints:
    """Every canonical code of the space that differs from ``code`` in one gene."""
    rows = []
    for gene, cardinality in enumerate(space.cardinalities):
        changed = np.repeat(code[None], cardinality, axis=0)
        changed[:, gene] = np.arange(cardinality)
        rows.append(changed)
    codes = space.canonical(np.concatenate(rows))
    codes = codes[(space.depths(codes) >= space.depth[0]) & (codes != code).any(axis=1)]
    return np.unique(codes, axis=0)
