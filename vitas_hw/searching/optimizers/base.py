"""What an optimiser is: it is asked for codes to evaluate and told their top-1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import Ints

Floats = npt.NDArray[np.float64]
WHOLE = -1


@dataclass(frozen=True)
class Trials:
    """Codes (N, code_length) to evaluate on the first parts of the search split.

    ``level`` counts from 0; ``WHOLE`` is all of the split.
    """

    codes: Ints
    level: int = WHOLE


class Optimiser(Protocol):
    """Proposes canonical codes inside the budget; owns its generator, so that equal answers give equal questions."""

    def ask(self) -> Trials:
        """What to evaluate next; no codes if there is nothing left."""
        ...

    def tell(self, trials: Trials, top1: Floats) -> None:
        """The answer to the last question: top-1 (N,) of its codes."""
        ...


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
