"""The optimizers of a search: configure one for ``search``, or use its ask-and-tell interface in your own loop.

Example:
    >>> space = vh.load_space("vitas-digits")
    >>> optimizer = vh.optimizers.NSGA2(population=8, generations=3).ask_tell(space, flops="20M", seed=0)
    >>> for generation in range(3):
    ...     solutions = []
    ...     for subnet in optimizer.ask():
    ...         value = abs(subnet.params - 1e6)  # what is to be minimised: train and evaluate the subnet, say
    ...         solutions.append((subnet, value))
    ...     optimizer.tell(solutions)
    >>> all(subnet.macs <= 20e6 for subnet, value in solutions)
    True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vitas_hw.core import Budget, InputError, SearchSpace, Subnet
from vitas_hw.core.settings import as_json, setting, settings
from vitas_hw.searching import GENERATIONS, POPULATION, make_optimizer
from vitas_hw.workflows.search.settings import SearchSettings

if TYPE_CHECKING:
    from vitas_hw.predictors import Predictor
    from vitas_hw.searching import Optimizer, Trials


@settings
class AnyOptimizer:
    """Base class of the optimizers.

    Args:
        population: subnets per generation; for a surrogate, those before its first fit.
        generations: a search evaluates at most population x generations subnets.

    Raises InputError for sizes that are too small.

    Example:
        >>> isinstance(vh.optimizers.NSGA2(), vh.optimizers.AnyOptimizer)
        True
    """

    NAME: ClassVar[str]
    population: int = setting(default=POPULATION, like=SearchSettings)
    generations: int = setting(default=GENERATIONS, like=SearchSettings)

    def as_settings(self) -> dict[str, Any]:
        """Fields of ``SearchSettings``."""
        return {"optimizer": self.NAME, **as_json(self)}

    def ask_tell(
        self,
        space: SearchSpace,
        *,
        latency: str | None = None,
        flops: str | None = None,
        params: str | None = None,
        predictor: Predictor | None = None,
        seed: int = 0,
    ) -> AskTell:
        """An ask-and-tell interface to the optimizer in a space.

        Args:
            space: whose subnets are asked for.
            latency, flops, params: the budget in words: ``5ms``, ``1.3G``, ``6M``, or ranges; no subnet outside is
                asked for. None is any.
            predictor: of the space, for a latency.
            seed: equal answers then give equal questions.

        Raises:
            InfeasibleBudgetError: no subnet fits; says what the space reaches.
            InputError: a budget that cannot be read, or a latency without a predictor.

        Example:
            >>> space = vh.load_space("vitas-digits")
            >>> optimizer = vh.optimizers.RandomSearch().ask_tell(space, params="1M")
            >>> max(subnet.params for subnet in optimizer.ask()) <= 1e6
            True
        """
        from vitas_hw.searching import Admission
        from vitas_hw.workflows.search.search import checked_costs

        budget = Budget.parse(latency, flops, params)
        admission = Admission(checked_costs(space, predictor, budget), budget)
        made = make_optimizer(self.NAME, admission, population=self.population, generations=self.generations, seed=seed)
        return AskTell(space, made)


class Surrogate(AnyOptimizer):
    """The default: gradient boosting on evaluated subnets picks the next ones among many within the budget.

    Example:
        >>> vh.optimizers.Surrogate(population=8).population
        8
    """

    NAME = "surrogate"


class NSGA2(AnyOptimizer):
    """The paper's NSGA-II (ViTAS section 4.3), from pymoo. The paper uses 50 subnets x 40 generations.

    Example:
        >>> vh.optimizers.NSGA2(population=50, generations=40)
        NSGA2(population=50, generations=40)
    """

    NAME = "nsga2"


class RegularizedEvolution(AnyOptimizer):
    """Aging evolution (Real et al., 2019): the best of a random sample has one mutated child, and the oldest dies.

    Example:
        >>> vh.optimizers.RegularizedEvolution(population=32).population
        32
    """

    NAME = "regularized-evolution"


class RandomSearch(AnyOptimizer):
    """Random subnets within the budget: the baseline for the others.

    Example:
        >>> vh.optimizers.RandomSearch(population=10).generations
        6
    """

    NAME = "random"


class AskTell:
    """An optimizer in use: ``ask`` gives subnets, ``tell`` takes their values.

    Args:
        space: the search space of the subnets.
        optimizer: proposes codes of that space.

    Example:
        >>> optimizer = vh.optimizers.Surrogate(population=4).ask_tell(vh.load_space("vitas-digits"), flops="20M")
        >>> for _ in range(3):
        ...     optimizer.tell([(subnet, subnet.macs) for subnet in optimizer.ask()])
        >>> subnet, value = optimizer.best
        >>> subnet.macs == value
        True
    """

    def __init__(self, space: SearchSpace, optimizer: Optimizer) -> None:
        self._space, self._optimizer = space, optimizer
        self._asked: Trials | None = None
        self._subnets: list[Subnet] = []
        self._best: tuple[Subnet, float] | None = None

    @property
    def best(self) -> tuple[Subnet, float]:
        """The subnet of the least value that was told, and that value. Raises InputError before the first."""
        if self._best is None:
            raise InputError("The optimizer has not been told any value yet.")
        return self._best

    def ask(self) -> list[Subnet]:
        """The subnets to evaluate next; none where the optimizer has ended, or the budget holds no new one.

        Until they are told, the same subnets.
        """
        if self._asked is None:
            self._asked = self._optimizer.ask()
            self._subnets = [self._space.decode(code) for code in self._asked.codes]
        return list(self._subnets)

    def tell(self, solutions: Sequence[tuple[Subnet, float]]) -> None:
        """The answer to the last question: every subnet that was asked for with its value, in any order.

        Args:
            solutions: pairs; the smaller a value the better, as of a loss.

        Raises:
            InputError: other subnets than were asked for, or a value that is no finite number.
        """
        values = dict(solutions)
        if self._asked is None or values.keys() != set(self._subnets):
            raise InputError("Tell the value of each subnet that was asked for, and of no other.", field="solutions")
        found = np.array([values[subnet] for subnet in self._subnets], np.float64)
        if not np.isfinite(found).all():
            raise InputError("A value to minimise must be a finite number.", field="solutions")
        for subnet, value in zip(self._subnets, found.tolist(), strict=True):
            if self._best is None or value < self._best[1]:
                self._best = subnet, value
        if len(found):
            self._optimizer.tell(self._asked, -found, np.zeros(len(found)))
        self._asked, self._subnets = None, []
