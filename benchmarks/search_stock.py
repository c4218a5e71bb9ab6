"""pymoo as it comes: integer sampling, simulated binary crossover and polynomial mutation, rounded; to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from search_table import Table

from vitas_hw.core import Budget
from vitas_hw.searching import POPULATION, Costs

_MOST_GENERATIONS = 400


class _Stock(Problem):  # type: ignore[misc]  # pymoo is not typed
    """Codes as they come; too few blocks or too many MACs are constraints, and only a new feasible code is counted."""

    def __init__(self, table: Table, budget: Budget, limit: int) -> None:
        space = table.space
        super().__init__(n_var=space.code_length, n_obj=1, n_ieq_constr=1, xl=0, xu=space.cardinalities - 1, vtype=int)
        self.table, self.budget, self.limit = table, budget, limit
        self.costs = Costs(space)
        self.known: dict[bytes, float] = {}

    def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
        space = self.table.space
        codes = np.asarray(x, np.int64)
        short = space.depth[0] - space.depths(codes)
        codes = space.canonical(codes)
        broken = np.where(short > 0, short, np.maximum(self.costs.excess(codes, self.budget), 0))
        errors = np.ones(len(codes))
        for row in np.flatnonzero(broken <= 0):
            key = codes[row].tobytes()
            if key not in self.known and len(self.known) < self.limit:
                self.known[key] = self.table.top1_of(codes[row])
            errors[row] = 1.0 - self.known.get(key, 0.0)
        out["F"], out["G"] = errors[:, None], broken[:, None]


def stock_scores(table: Table, budget: Budget, seed: int, limit: int) -> list[float]:
    """Top-1 of each evaluation in order; codes outside the budget and repeated ones cost it nothing."""
    problem = _Stock(table, budget, limit)
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=SBX(repair=RoundingRepair()),
        mutation=PM(repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(problem, algorithm, ("n_gen", min(_MOST_GENERATIONS, limit)), seed=seed, verbose=False)
    return list(problem.known.values()) or [0.0]
