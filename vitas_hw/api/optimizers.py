"""The optimizers of a search, to be configured for ``search``, or asked and told by a loop of your own.

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
    """What all optimizers have.

    Args:
        population: subnets of a generation, or before the first fit of a model.
        generations: a search evaluates at most ``population`` times so many subnets.

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
        """An optimizer of a space, to be asked and told.

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
    """Gradient boosting on what was evaluated picks among many subnets inside the budget: the default.

    Example:
        >>> vh.optimizers.Surrogate(population=8).population
        8
    """

    NAME = "surrogate"


class NSGA2(AnyOptimizer):
    """The paper's evolution (ViTAS section 4.3), by pymoo. The paper's size is 50 times 40.

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
    """Random subnets inside the budget: what every other optimizer has to beat.

    Example:
        >>> vh.optimizers.RandomSearch(population=10).generations
        6
    """

    NAME = "random"


class AskTell:
    """An optimizer at work: asked for subnets, told their values.

    Args:
        space: whose subnets it asks for.
        optimizer: that proposes codes of the space.

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
