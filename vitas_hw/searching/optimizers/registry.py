"""The optimizers by name; imports none of them before it is made, as the command line's help reads the names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitas_hw.searching.admission import Admission
    from vitas_hw.searching.optimizers.base import Optimizer

OF_FRONTS = ("surrogate", "nsga2")
OPTIMIZERS = ("surrogate", "nsga2", "regularized-evolution", "random")
DEFAULT = "surrogate"
POPULATION, GENERATIONS = 16, 6  # as many evaluations of the whole search split as their product, at most
PRESETS = {"paper": ("nsga2", 50, 40)}  # an optimizer with its population and generations: ViTAS section 5


def make_optimizer(
    name: str,
    admission: Admission,
    *,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    seed: int = 0,
    against: str | None = None,
    levels: int = 1,
) -> Optimizer:
    """An optimizer.

    Args:
        name: one of ``OPTIMIZERS``.
        admission: what it may ask for.
        population: subnets of a generation, or before the first fit.
        generations: of NSGA-II; the others go on as long as they are asked.
        seed: of all its draws.
        against: see ``Nsga2`` and ``SurrogateSearch``; the others look at the score alone.
        levels: growing parts of the search split that the surrogate may race on; for a front nothing races.
    """
    if name == "surrogate":
        from vitas_hw.searching.optimizers.surrogate import SurrogateSearch

        return SurrogateSearch(admission, population, seed, levels=1 if against else levels, against=against)
    if name == "nsga2":
        from vitas_hw.searching.optimizers.nsga2 import Nsga2

        return Nsga2(admission, population, generations, seed, against)
    if name == "regularized-evolution":
        from vitas_hw.searching.optimizers.regularized import RegularizedEvolution

        return RegularizedEvolution(admission, population, seed)
    from vitas_hw.searching.optimizers.random import RandomSearch

    return RandomSearch(admission, seed)
