"""What subnets cost, and which budgets any of them can meet, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget, Range, cost_name, show_cost, write_cost
from vitas_hw.core.errors import InfeasibleBudgetError, InputError
from vitas_hw.core.operators import Ints, SubnetColumns, operators
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.core.variation import mutation
from vitas_hw.searching.memory import MemoryEstimate

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
class Limit:
    """A range for one of a subnet's costs.

    Args:
        cost: ``latency_ms``, ``macs``, ``params`` or ``memory_bytes``.
        bounds: what is allowed.
        target, predictor: of a latency on a further target: its name, and what predicts it; without them it is the
            search's own.
        confidence, correction: of that predictor, as those of ``Costs``.
    """

    cost: str
    bounds: Range
    target: str = ""
    predictor: Predicts | None = None
    confidence: float = 0.5
    correction: float = 1.0

    def predicted_ms(self, columns: SubnetColumns) -> list[float | None]:
        """Latency of N subnets on the further target."""
        assert self.predictor is not None
        found: list[float | None] = self.predictor.predict_columns(columns).latency_ms.tolist()  # type: ignore[attr-defined]
        return found

    def overlaps(self, least: float, most: float) -> bool:
        """Whether some of what subnets can cost is allowed."""
        low, high = self.bounds.low, self.bounds.high
        return (high is None or high >= least) and (low is None or low <= most)

    def widened(self, value: float) -> str:
        """The argument that sets it, as an error writes it, as wide as ``value`` needs."""
        low, high = self.bounds.low, self.bounds.high
        low, high = low and min(low, two_digits(value, np.floor)), high and max(high, two_digits(value, np.ceil))
        ends = "-".join(write_cost(end, self.cost) for end in (low, high) if end is not None)
        name = {"latency_ms": "latency", "macs": "flops", "params": "params", "memory_bytes": "memory"}[self.cost]
        return f"`{name}={self.target}={ends}`" if self.target else f"`{name}={ends}`"

    def reach(self, least: float, most: float) -> str:
        """What subnets can cost, in words."""
        predicted = {"latency_ms": "predicted ", "memory_bytes": "estimated "}.get(self.cost, "")
        of = f" of {self.target}" if self.target else ""
        return (
            f"{predicted}{cost_name(self.cost)}{of} from {show_cost(least, self.cost)} to {show_cost(most, self.cost)}"
        )


@dataclass(frozen=True)
class Costs:
    """MACs, parameters and, with a predictor, latency of codes of a space.

    Args:
        space: of the codes.
        predictor: of the latency that the budget speaks of.
        confidence: with which a subnet shall measure at most what counts against the budget, at least 0.5 and below 1:
            one half takes the prediction itself, more an upper bound of it. The predictor's interval, which holds 90%
            of measurements, is widened or narrowed as if the errors' logarithms were normal.
        correction: what measured latencies are, in units of predicted ones.
        others: latencies on further targets.
        memory: estimates the memory that the budget speaks of.
        memory_correction: what measured memory is, in units of the estimated one.
    """

    space: SearchSpace
    predictor: Predicts | None = None
    confidence: float = 0.5
    correction: float = 1.0
    others: tuple[Limit, ...] = ()
    memory: MemoryEstimate | None = None
    memory_correction: float = 1.0

    def of(self, codes: Ints) -> dict[str, Floats]:
        """(N,) each: predicted ``latency_ms`` (with a predictor), ``macs``, ``params`` of N canonical codes."""
        columns = self.space.columns(codes)
        table = operators(columns)
        costs = {"macs": table.macs.astype(np.float64), "params": table.params.astype(np.float64)}
        if self.predictor is not None:
            costs["latency_ms"] = self.predictor.predict_columns(columns).latency_ms  # type: ignore[attr-defined]
        return costs

    def predicted_ms(self, columns: SubnetColumns) -> list[float | None]:
        """Predicted latency of N subnets of the space; None without a predictor."""
        if self.predictor is None:
            return [None] * len(columns)
        found: list[float | None] = self.predictor.predict_columns(columns).latency_ms.tolist()  # type: ignore[attr-defined]
        return found

    def limits(self, budget: Budget) -> list[Limit]:
        """All that a subnet must keep: the budget and the other targets' latencies.

        Raises InputError if a latency is limited that no predictor tells, or a memory that cannot be measured.
        """
        if budget.images_per_s is not None and budget.latency_ms is None:  # no predictor has told the batch
            raise InputError("A throughput budget needs a predictor.", field="throughput", step="profile")
        if budget.latency_ms is not None and self.predictor is None:
            raise InputError("A latency budget needs a predictor.", field="latency", step="profile")
        if budget.memory_bytes is not None and self.memory is None:
            raise InputError(
                "A memory budget needs the target of the run's predictor, and that is not here.",
                field="memory",
                step="profile",
            )
        return [*(Limit(cost, bounds) for cost, bounds in budget.asked.items()), *self.others]

    def excess(self, codes: Ints, budget: Budget) -> Floats:
        """(N,) how far each code lies outside, relative to the bound that it crosses most; 0 or less is inside.

        All are inside where nothing is limited.
        """
        return self.standing(codes, budget)[0]

    def standing(self, codes: Ints, budget: Budget) -> tuple[Floats, Floats]:
        """(N,) each: see ``excess``; and the load, the largest cost as a share of its ceiling, 0 where none has one."""
        limits = self.limits(budget)
        excess, load = np.full(len(codes), -np.inf), np.zeros(len(codes))
        for limit, found in zip(limits, self._counted(codes, limits) if len(codes) else (), strict=False):
            excess = np.maximum(excess, limit.bounds.excess(found))
            if limit.bounds.high is not None:
                load = np.maximum(load, found / limit.bounds.high)
        return excess, load

    def reachable(self, cost: str) -> tuple[float, float]:
        """The smallest and largest value of one cost over the space, found by descent from its corners."""
        return self._reachable(Limit(cost, _ANY))

    def feasible_code(self, budget: Budget) -> Ints:
        """(code_length,) a code inside the budget.

        Raises:
            InfeasibleBudgetError: there is none; says the range that each cost asked for can reach, and the nearest
                budget that some subnet fits.
        """

        def excess(codes: Ints) -> Floats:
            return self.excess(codes, budget)

        code, outside = _descend(self.space, excess, enough=0.0)
        if outside <= 0:
            return code
        limits = self.limits(budget)
        reach = [self._reachable(limit) for limit in limits]
        if all(
            limit.overlaps(*ends) for limit, ends in zip(limits, reach, strict=True)
        ):  # the mix alone may be impossible
            code, outside = _descend(self.space, excess, enough=0.0, generations=_GENERATIONS)
        if outside <= 0:
            return code
        wanted = [] if budget.is_empty else [str(budget)]
        wanted += [f"{other.target} {Budget(latency_ms=other.bounds)}" for other in self.others]
        reached = "; ".join(limit.reach(*ends) for limit, ends in zip(limits, reach, strict=True))
        values = [float(found[0]) for found in self._counted(code[None], limits)]
        nearest = " ".join(limit.widened(value) for limit, value in zip(limits, values, strict=True))
        raise InfeasibleBudgetError(
            f"No subnet of {self.space.name!r} was found that fits the budget of {' and '.join(wanted)}: its subnets"
            f" reach {reached}.",
            f"Try {nearest}, the nearest that some subnet fits.",
        )

    def largest_inside(self, budget: Budget) -> Ints:
        """(code_length,) the code of most parameters inside a budget that some code fits, by descent and mutation."""

        def score(codes: Ints) -> Floats:
            outside = self.excess(codes, budget)
            return np.where(outside > 0, outside, -self._counted(codes, [Limit("params", _ANY)])[0])

        return _descend(self.space, score, generations=_GENERATIONS)[0]

    def _counted(self, codes: Ints, limits: Sequence[Limit]) -> list[Floats]:
        """(N,) for each limit what counts against it: of latencies the upper bounds."""
        columns = self.space.columns(codes)
        table = operators(columns) if any(limit.cost in ("macs", "params") for limit in limits) else None

        def one(limit: Limit) -> Floats:
            if limit.predictor is not None:
                return _upper(limit.predictor, columns, limit.confidence) * limit.correction
            if limit.cost == "latency_ms":
                assert self.predictor is not None
                return _upper(self.predictor, columns, self.confidence) * self.correction
            if limit.cost == "memory_bytes":
                assert self.memory is not None
                return self.memory.bytes_of(columns) * self.memory_correction
            found: Floats = getattr(table, limit.cost).astype(np.float64)
            return found

        return [one(limit) for limit in limits]

    def _reachable(self, limit: Limit) -> tuple[float, float]:
        least = _descend(self.space, lambda codes: self._counted(codes, [limit])[0])[1]
        most = _descend(self.space, lambda codes: -self._counted(codes, [limit])[0])[1]
        return least, -most


_ANY = Range(None, 1.0)  # where only the cost counts
_UPPER_CONFIDENCE = 0.95  # of the upper end of an interval that holds 90%


def _upper(predictor: Predicts, columns: SubnetColumns, confidence: float) -> Floats:
    """(N,) that a subnet's latency does not exceed with this confidence."""
    found = predictor.predict_columns(columns)
    latency: Floats = found.latency_ms  # type: ignore[attr-defined]
    if confidence == 0.5:
        return latency
    share = NormalDist().inv_cdf(confidence) / NormalDist().inv_cdf(_UPPER_CONFIDENCE)
    return latency * (found.upper_ms / latency) ** share  # type: ignore[attr-defined,no-any-return]


def two_digits(value: float, rounding: Callable[[float], float]) -> float:
    """A positive number, rounded up (``np.ceil``) or down so that people can type it."""
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{rounding(value / step) * step:.2g}")


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
    patches, ops = range(len(space.patch_sizes)), (1, len(space.num_heads))
    for patch, depth, widest, op in product(patches, space.depth, (False, True), ops):
        code = np.where(widest, last, 0)
        code[0] = patch
        blocks = code[HEADER::PER_BLOCK]
        blocks[:depth], blocks[depth:] = op, 0
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
