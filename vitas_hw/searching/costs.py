"""What subnets cost, and which budgets any of them can meet, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget, Range, cost_name, show_cost, write_cost
from vitas_hw.core.errors import InfeasibleBudgetError, InputError
from vitas_hw.core.operators import Ints, SubnetColumns, operators
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.variation import mutation

Floats = npt.NDArray[np.float64]
_DESCENTS = 6
_MOST_STEPS = 400
_GENERATIONS = 60
Score = Callable[[Ints], Floats]  # codes (N, code_length) -> (N,)


class Predicts(Protocol):
    """As much of a predictor as a search needs."""

    def predict_columns(self, columns: SubnetColumns) -> object:
        """An object with ``latency_ms`` (N,) and, for a confidence other than one half, ``upper_ms`` (N,)."""
        ...


@dataclass(frozen=True)
class OtherTarget:
    """A second target that the subnet must be good on: its predictor and the latency allowed there."""

    name: str
    predictor: Predicts
    latency_ms: Range


@dataclass(frozen=True)
class Costs:
    """MACs, parameters and, with a predictor, latency of codes of a space.

    Args:
        space: of the codes.
        predictor: of the latency that the budget speaks of.
        confidence: with which a subnet shall measure at most what counts against the budget: one half takes the
            prediction itself, more an upper bound of it. The predictor's interval, which holds 90% of measurements, is
            widened or narrowed as if the errors' logarithms were normal.
        correction: what measured latencies are, in units of predicted ones.
        others: further targets.
    """

    space: SearchSpace
    predictor: Predicts | None = None
    confidence: float = 0.5
    correction: float = 1.0
    others: tuple[OtherTarget, ...] = ()

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise InputError(f"A confidence lies between 0.5 and 1, not {self.confidence}.", "Try --confidence 0.95")

    @property
    def bound(self) -> bool:
        """Whether there is a budget besides the one given."""
        return bool(self.others)

    def of(self, codes: Ints) -> dict[str, Floats]:
        """(N,) each: predicted ``latency_ms`` (with a predictor), ``macs``, ``params`` of N canonical codes."""
        columns = self.space.columns(codes)
        costs = _counted(columns)
        if self.predictor is not None:
            costs["latency_ms"] = self.predictor.predict_columns(columns).latency_ms  # type: ignore[attr-defined]
        return costs

    def latency_ms(self, codes: Ints) -> list[float | None]:
        """Predicted latency of N codes; None without a predictor."""
        return self.of(codes)["latency_ms"].tolist() if self.predictor is not None else [None] * len(codes)

    def predicted_ms(self, subnets: Sequence[Subnet]) -> list[float | None]:
        """Predicted latency of N subnets of the space; None without a predictor."""
        if self.predictor is None:
            return [None] * len(subnets)
        found = self.predictor.predict_columns(SubnetColumns.of(list(subnets)))
        latency: list[float | None] = found.latency_ms.tolist()  # type: ignore[attr-defined]
        return latency

    def counted(self, codes: Ints) -> dict[str, Floats]:
        """(N,) each: what counts against a budget: as ``of``, but latencies are upper bounds, of every target."""
        columns = self.space.columns(codes)
        costs = _counted(columns)
        if self.predictor is not None:
            costs["latency_ms"] = self._upper(self.predictor, columns) * self.correction
        return costs | {_OTHER + other.name: self._upper(other.predictor, columns) for other in self.others}

    def excess(self, codes: Ints, budget: Budget) -> Floats:
        """(N,) how far each code lies outside, relative to the bound that it crosses most; 0 or less is inside."""
        asked = self._asked(budget)
        costs = self.counted(codes)
        return np.max([bounds.excess(costs[cost]) for cost, bounds in asked.items()], axis=0)  # type: ignore[no-any-return]

    def reachable(self, cost: str) -> tuple[float, float]:
        """The smallest and largest value of one cost over the space, found by descent from its corners."""
        least = _descend(self.space, lambda codes: self.counted(codes)[cost])[1]
        most = _descend(self.space, lambda codes: -self.counted(codes)[cost])[1]
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
            raise self._infeasible(budget, f"{self._nearest(budget, code)}, the nearest that some subnet fits.")
        return code

    def _asked(self, budget: Budget) -> dict[str, Range]:
        if budget.latency_ms is not None and self.predictor is None:
            raise InputError("A latency budget needs a predictor.", "Run: vitas-hw profile")
        return budget.asked | {_OTHER + other.name: other.latency_ms for other in self.others}

    def _upper(self, predictor: Predicts, columns: SubnetColumns) -> Floats:
        found = predictor.predict_columns(columns)
        latency: Floats = found.latency_ms  # type: ignore[attr-defined]
        if self.confidence == 0.5:
            return latency
        share = NormalDist().inv_cdf(self.confidence) / NormalDist().inv_cdf(_UPPER_CONFIDENCE)
        return latency * (found.upper_ms / latency) ** share  # type: ignore[attr-defined,no-any-return]

    def _check_reach(self, budget: Budget) -> None:
        asked = self._asked(budget)
        advice = _suggestion(asked, {cost: self.reachable(cost) for cost in asked})
        if advice:
            raise self._infeasible(budget, advice)

    def _nearest(self, budget: Budget, code: Ints) -> str:
        """The budget, each range of it widened as far as ``code`` needs."""
        costs = self.counted(code[None])
        words = []
        for cost, bounds in self._asked(budget).items():
            kind, value = _kind(cost), float(costs[cost][0])
            low = None if bounds.low is None else min(bounds.low, _round_down(value))
            high = None if bounds.high is None else max(bounds.high, _round_up(value))
            words.append(_option(cost) + "-".join(write_cost(end, kind) for end in (low, high) if end is not None))
        return " ".join(words)

    def _infeasible(self, budget: Budget, advice: str) -> InfeasibleBudgetError:
        asked = self._asked(budget)
        wanted = [str(budget)] if budget.asked else []
        wanted += [f"{other.name} {Budget(latency_ms=other.latency_ms)}" for other in self.others]
        reach = "; ".join(f"{_said(cost)} {_from_to(cost, *self.reachable(cost))}" for cost in asked)
        return InfeasibleBudgetError(
            f"No subnet of {self.space.name!r} was found that fits the budget of {' and '.join(wanted)}: its subnets"
            f" reach {reach}.",
            f"Try {advice}",
        )


_OTHER = "latency_ms of "
_UPPER_CONFIDENCE = 0.95  # of the upper end of an interval that holds 90%


def _counted(columns: SubnetColumns) -> dict[str, Floats]:
    table = operators(columns)
    return {"macs": table.macs.astype(np.float64), "params": table.params.astype(np.float64)}


def _kind(cost: str) -> str:
    return "latency_ms" if cost.startswith("latency_ms") else cost


def _said(cost: str) -> str:
    predicted = "predicted " if _kind(cost) == "latency_ms" else ""
    return f"{predicted}{cost_name(_kind(cost))}{cost.removeprefix('latency_ms') if predicted else ''}"


def _from_to(cost: str, least: float, most: float) -> str:
    return f"from {show_cost(least, _kind(cost))} to {show_cost(most, _kind(cost))}"


_OPTIONS = {"latency_ms": "--latency", "macs": "--flops", "params": "--params"}


def _option(cost: str) -> str:
    """The option up to its number."""
    name = cost.removeprefix(_OTHER)
    return f"{_OPTIONS[_kind(cost)]} {name}=" if name != cost else f"{_OPTIONS[_kind(cost)]} "


def _suggestion(asked: Mapping[str, Range], ranges: Mapping[str, tuple[float, float]]) -> str:
    """Bounds a little inside what can be reached, for each cost that is out of reach, in the command's own words."""
    words = []
    for cost, bounds in asked.items():
        least, most = ranges[cost]
        if bounds.high is not None and bounds.high < least:
            words.append(f"{_option(cost)}{write_cost(_round_up(least * 1.2), _kind(cost))} or more")
        elif bounds.low is not None and bounds.low > most:
            least_bound = write_cost(_round_down(most * 0.8), _kind(cost))
            words.append(f"{_option(cost).strip()} with a lower bound of at most {least_bound}")
    return " and ".join(words)


def _round_up(value: float) -> float:
    """Two digits, so that people can type it."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / step) * step:.2g}")


def _round_down(value: float) -> float:
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.floor(value / step) * step:.2g}")


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
