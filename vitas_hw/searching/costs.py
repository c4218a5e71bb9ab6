"""What subnets cost, and which budgets any of them can meet, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget, cost_name, show_cost, three_digits
from vitas_hw.core.errors import InfeasibleBudgetError, InputError
from vitas_hw.core.operators import Ints, SubnetColumns, operators
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.core.variation import mutation

Floats = npt.NDArray[np.float64]
_DESCENTS = 6
_MOST_STEPS = 400
_GENERATIONS = 60
Score = Callable[[Ints], Floats]  # codes (N, code_length) -> (N,)


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
        """(N,) how far each code lies outside, relative to the bound that it crosses most; 0 or less is inside."""
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
            InfeasibleBudgetError: there is none; says the range that each cost asked for can reach.
        """

        def excess(codes: Ints) -> Floats:
            return self.excess(codes, budget)

        code, outside = _descend(self.space, excess, enough=0.0)
        if outside > 0:
            self._check_reach(budget)  # most impossible budgets end here, at once
            code, outside = _descend(self.space, excess, enough=0.0, generations=_GENERATIONS)
        if outside > 0:
            raise self._infeasible(budget, "a wider range, or fewer budgets at once.")
        return code

    def _asked(self, codes: Ints, budget: Budget) -> Mapping[str, Floats]:
        if budget.latency_ms is not None and self.predictor is None:
            raise InputError("A latency budget needs a predictor.", "Run: vitas-hw profile")
        return self.of(codes)

    def _check_reach(self, budget: Budget) -> None:
        advice = _suggestion(budget, {cost: self.reachable(cost) for cost in budget.asked})
        if advice:
            raise self._infeasible(budget, advice)

    def _infeasible(self, budget: Budget, advice: str) -> InfeasibleBudgetError:
        ranges = {cost: self.reachable(cost) for cost in budget.asked}
        reach = "; ".join(
            f"{'predicted ' if cost == 'latency_ms' else ''}{cost_name(cost)} from {show_cost(least, cost)} to"
            f" {show_cost(most, cost)}"
            for cost, (least, most) in ranges.items()
        )
        return InfeasibleBudgetError(
            f"No subnet of {self.space.name!r} was found that fits the budget of {budget}: its subnets reach {reach}.",
            f"Try {advice}",
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
    return " and ".join(words)


def _round_up(value: float) -> str:
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return three_digits(float(f"{np.ceil(value / step) * step:.2g}"))


def _descend(space: SearchSpace, score: Score, enough: float = -np.inf, generations: int = 0) -> tuple[Ints, float]:
    """A code of least ``score``, and its score; stops early at ``enough``.

    From the best of the corners and a thousand random codes, changing one gene at a time; then ``generations`` of
    mutants of the best hundred codes met, which change several at once. Bounded, and always the same.
    """
    rng = np.random.default_rng(0)
    codes = np.concatenate([_corners(space), space.sample_codes(1000, rng)])
    values = score(codes)
    met = [(codes, values)]
    for start in np.argsort(values, kind="stable")[:_DESCENTS]:
        code, value = codes[start], values[start]
        for _ in range(_MOST_STEPS):
            around = _neighbours(space, code) if value > enough else codes[:0]
            found = score(around) if len(around) else values[:0]
            if not len(found) or found.min() >= value:
                break
            code, value = around[np.argmin(found)], found.min()
            met.append((around, found))
        if value <= enough:
            return code, float(value)
    codes = np.concatenate([some for some, _ in met])
    values = np.concatenate([some for _, some in met])
    for _ in range(generations):
        best = np.argsort(values, kind="stable")[:100]
        codes, values = codes[best], values[best]
        if values[0] <= enough:
            break
        mutants = mutation(space, np.repeat(codes, 5, axis=0), rng, genes=3.0)
        codes, values = np.concatenate([codes, mutants]), np.concatenate([values, score(mutants)])
        codes, first = np.unique(codes, axis=0, return_index=True)
        values = values[first]
    best_row = np.argmin(values)
    return codes[best_row], float(values[best_row])


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
