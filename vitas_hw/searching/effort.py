"""How much a search may evaluate."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """Size of the search: ``population`` x ``generations`` evaluations of the whole search split at most."""

    population: int = 16
    generations: int = 6

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 1:
            raise InputError(f"An evolution needs a population of at least 2 and a generation, not {self}.")

    @property
    def evaluations(self) -> int:
        return self.population * self.generations


PAPER = Evolution(population=50, generations=40)  # ViTAS section 5
