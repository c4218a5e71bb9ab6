"""NSGA-II, by pymoo, on the canonical codes of a space and inside a budget (ViTAS section 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.problems.static import StaticProblem
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from vitas_hw.core.operators import Ints
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.variation import crossover, mutation
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.optimizers.base import Floats, Trials


class Nsga2:
    """The paper's optimizer.

    Args:
        admission: what may be asked for.
        population: size of one.
        generations: number of them.
        seed: of every draw.
        against: a cost (``latency_ms``, ``macs`` or ``params``) to hold down while the score goes up: the population
            then spreads over the whole Pareto front. None is the score alone.
    """

    def __init__(
        self, admission: Admission, population: int, generations: int, seed: int, against: str | None = None
    ) -> None:
        self._admission, self._against = admission, against
        self._population, self._generations, self._seed = population, generations, seed
        space = admission.space
        self._known = np.zeros((0, space.code_length), np.int64)
        objectives = 1 if against is None else 2
        xu = space.cardinalities - 1
        self._problem = Problem(n_var=space.code_length, n_obj=objectives, xl=0, xu=xu, vtype=int)
        self._algorithm: Any = None
        self._offspring: Any = None

    def learn(self, codes: Ints, scores: Floats) -> None:
        """The best of them, or of a front what it is made of, are half of the first population."""
        goals = [-scores]
        if self._against is not None:
            goals.append(self._admission.costs.of(codes)[self._against])
        fronts = NonDominatedSorting().do(np.stack(goals, axis=1))
        self._known = codes[np.concatenate(fronts)[: self._population // 2]]

    def _begin(self) -> Any:
        space = self._admission.space
        drawn = self._admission.draw(self._population - len(self._known), np.random.default_rng(self._seed))
        algorithm = NSGA2(
            pop_size=self._population,
            sampling=Population.new("X", np.concatenate([self._known, drawn])),
            crossover=_Crossover(space),
            mutation=_Mutation(space),
            eliminate_duplicates=_Inside(self._admission, self._known),
        )
        termination = ("n_gen", self._generations)
        algorithm.setup(self._problem, termination=termination, seed=self._seed, verbose=False)
        return algorithm

    def ask(self) -> Trials:
        """A generation; no codes once the generations are over or the budget admits no subnet that is new."""
        self._algorithm = self._algorithm or self._begin()
        self._offspring = self._algorithm.ask() if self._algorithm.has_next() else None
        if self._offspring is None or not len(self._offspring):
            return Trials(np.zeros((0, self._admission.space.code_length), np.int64))
        codes = np.asarray(self._offspring.get("X"), np.int64)
        self._admission.remember(codes)
        return Trials(codes)

    def tell(self, trials: Trials, scores: Floats, errors: Floats) -> None:  # noqa: ARG002
        """Survivors are chosen."""
        goals = [-scores]
        if self._against is not None:
            goals.append(self._admission.costs.of(trials.codes)[self._against])
        Evaluator().eval(StaticProblem(self._problem, F=np.stack(goals, axis=1)), self._offspring)
        self._algorithm.tell(infills=self._offspring)


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
    """Drops what lies outside the budget or was evaluated before; pymoo then mates again, a bounded number of times.

    ``known`` are in the first population, though an earlier search has evaluated them.
    """

    def __init__(self, admission: Admission, known: Ints) -> None:
        super().__init__()
        self._admission, self._first = admission, {code.tobytes() for code in known}

    def _do(self, population: Any, other: Any, drop: Any) -> Any:
        codes = np.asarray(population.get("X"), np.int64)
        if other is None:  # among themselves; the budget is asked only once for each
            known: set[bytes] = set()
            drop[self._admission.outside(codes)] = True
        else:
            known = {code.tobytes() for code in np.asarray(other.get("X"), np.int64)}
        for row, code in enumerate(codes):
            key = code.tobytes()
            seen = self._admission.seen(code) and key not in self._first
            if key in known or (other is None and seen):
                drop[row] = True
            elif other is None:
                known.add(key)
        self._first = set()  # once they are in
        return drop
