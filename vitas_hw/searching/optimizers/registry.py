"""The optimisers by name."""

from __future__ import annotations

from vitas_hw.core.errors import one_of
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.optimizers.base import PAPER, Evolution, Optimiser

OPTIMISERS = ("surrogate", "nsga2", "regularized-evolution", "random")
DEFAULT = "surrogate"
PRESETS = {"paper": ("nsga2", PAPER)}


def named(name: str, population: int | None, generations: int | None) -> tuple[str, Evolution]:
    """An optimiser or preset with its size; None takes the preset's.

    Raises:
        InputError: an unknown name, an impossible size.
    """
    if name not in (*OPTIMISERS, *PRESETS):
        raise one_of(name, (*OPTIMISERS, *PRESETS), "optimizer")
    optimizer, usual = PRESETS.get(name, (name, Evolution()))
    return optimizer, Evolution(
        population=usual.population if population is None else population,
        generations=usual.generations if generations is None else generations,
    )


def make_optimiser(
    name: str, admission: Admission, evolution: Evolution, seed: int, *, against: str | None = None, levels: int = 1
) -> Optimiser:
    """An optimiser of ``OPTIMISERS``.

    Args:
        name: which.
        admission: what it may ask for.
        evolution: its size.
        seed: of all its draws.
        against: see ``Nsga2``; the others look at top-1 alone.
        levels: growing parts of the search split that the surrogate may race on.
    """
    if name == "surrogate":
        from vitas_hw.searching.optimizers.surrogate import SurrogateSearch

        return SurrogateSearch(admission, evolution.population, seed, levels=levels)
    if name == "nsga2":
        from vitas_hw.searching.optimizers.nsga2 import Nsga2

        return Nsga2(admission, evolution, seed, against)
    if name == "regularized-evolution":
        from vitas_hw.searching.optimizers.regularized import RegularizedEvolution

        return RegularizedEvolution(admission, evolution.population, seed)
    if name == "random":
        from vitas_hw.searching.optimizers.random import RandomSearch

        return RandomSearch(admission, seed)
    raise one_of(name, OPTIMISERS, "optimizer")
