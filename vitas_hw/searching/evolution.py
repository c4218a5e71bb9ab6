"""NSGA-II, by pymoo, on the canonical codes of a space and inside a budget (ViTAS section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import Ints
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.variation import crossover, mutation
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.result import Candidate

_IDENTITY_PROBABILITIES = (0.5, 0.7, 0.3, 0.9, 0.1)  # tried in turn until the first population is full
_MOST_DRAWS = 40


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Size of the evolution; every generation evaluates at most ``population`` new subnets."""

    population: int = 16
    generations: int = 6

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 1:
            raise InputError(f"An evolution needs a population of at least 2 and a generation, not {self}.")


def evolve(
    space: SearchSpace,
    costs: Costs,
    budget: Budget,
    evaluate: Callable[[Ints], Sequence[float]],
    evolution: Evolution,
    *,
    seed: int,
    on_candidate: Callable[[Candidate], None] = lambda _: None,
) -> list[Candidate]:
    """Every subnet evaluated, in the order of evaluation; all lie inside the budget, none twice.

    Args:
        space: what to search.
        costs: of the space's codes.
        budget: no subnet outside it is evaluated; an empty one admits all.
        evaluate: top-1 of canonical codes (N, code_length) with the supernet's weights, in [0, 1].
        evolution: how much.
        seed: the same seed, supernet and predictor give the same candidates.
        on_candidate: called after each evaluation.

    Raises:
        InfeasibleBudgetError: no subnet fits.
    """
    rng = np.random.default_rng(seed)
    inside = _Inside(space, costs, budget)
    algorithm = NSGA2(
        pop_size=evolution.population,
        sampling=_first_population(space, costs, budget, evolution.population, rng),
        crossover=_Crossover(space),
        mutation=_Mutation(space),
        eliminate_duplicates=inside,
    )
    problem = Problem(n_var=space.code_length, n_obj=1, xl=0, xu=space.cardinalities - 1, vtype=int)
    algorithm.setup(problem, termination=("n_gen", evolution.generations), seed=seed, verbose=False)
    candidates: list[Candidate] = []
    for _ in range(evolution.generations):
        offspring = algorithm.ask()
        if offspring is None or not len(offspring):
            break  # the budget admits no subnet that has not been seen
        codes = np.asarray(offspring.get("X"), np.int64)
        inside.remember(codes)
        prices = costs.of(codes)
        errors = []
        for row, code in enumerate(codes):
            found = Candidate(
                subnet=space.decode(code),
                top1=float(evaluate(code[None])[0]),
                predicted_ms=float(prices["latency_ms"][row]) if "latency_ms" in prices else None,
                layers=None if space.identity_shifting else space.layers(code),
            )
            candidates.append(found)
            errors.append(1.0 - found.top1)
            on_candidate(found)
        Evaluator().eval(_Known(problem, errors), offspring)
        algorithm.tell(infills=offspring)
    return candidates


def _first_population(
    space: SearchSpace, costs: Costs, budget: Budget, count: int, rng: np.random.Generator
) -> Population:
    """Distinct codes inside the budget: random ones, then mutants of those where random ones are too rare."""
    if not budget.asked:
        return Population.new("X", _distinct(space.sample_codes(4 * count, rng))[:count])
    found = costs.feasible_code(budget)[None]
    for draw in range(_MOST_DRAWS):
        p_identity = _IDENTITY_PROBABILITIES[draw % len(_IDENTITY_PROBABILITIES)]
        drawn = space.sample_codes(500, rng, p_identity)
        if draw >= len(_IDENTITY_PROBABILITIES):
            drawn = np.concatenate([drawn, mutation(space, found[rng.integers(0, len(found), 500)], rng)])
        found = _distinct(np.concatenate([found, drawn[costs.excess(drawn, budget) <= 0]]))
        if len(found) >= count:
            break
    return Population.new("X", rng.permutation(found)[:count])


def _distinct(codes: Ints) -> Ints:
    return codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]


class _Crossover(Crossover):  # type: ignore[misc]  # pymoo is not typed
    def __init__(self, space: SearchSpace) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=0.9)
        self._space = space

    def _do(self, _problem: Any, x: Ints, *_: Any, random_state: np.random.Generator, **__: Any) -> Ints:
        return np.stack(crossover(self._space, x[0].astype(np.int64), x[1].astype(np.int64), random_state))


class _Mutation(Mutation):  # type: ignore[misc]
    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self._space = space

    def _do(self, _problem: Any, x: Ints, *_: Any, random_state: np.random.Generator, **__: Any) -> Ints:
        return mutation(self._space, x.astype(np.int64), random_state)


class _Inside(DuplicateElimination):  # type: ignore[misc]
    """Drops what lies outside the budget or was evaluated before; pymoo then mates again, a bounded number of times."""

    def __init__(self, space: SearchSpace, costs: Costs, budget: Budget) -> None:
        super().__init__()
        self._space, self._costs, self._budget = space, costs, budget
        self._seen: set[bytes] = set()

    def remember(self, codes: Ints) -> None:
        self._seen.update(code.tobytes() for code in codes)

    def _do(self, population: Any, other: Any, drop: Any) -> Any:
        codes = np.asarray(population.get("X"), np.int64)
        if other is None:  # among themselves; the budget is asked only once for each
            known = set(self._seen)
            if self._budget.asked:
                drop[self._costs.excess(codes, self._budget) > 0] = True
        else:
            known = {code.tobytes() for code in np.asarray(other.get("X"), np.int64)}
        for row, code in enumerate(codes):
            key = code.tobytes()
            if key in known:
                drop[row] = True
            elif other is None:
                known.add(key)
        return drop


class _Known(Problem):  # type: ignore[misc]
    """Hands pymoo the errors that are already known."""

    def __init__(self, problem: Problem, errors: list[float]) -> None:
        super().__init__(n_var=problem.n_var, n_obj=1, xl=problem.xl, xu=problem.xu, vtype=int)
        self._errors = errors

    def _evaluate(self, _x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
        out["F"] = np.array(self._errors)[:, None]
