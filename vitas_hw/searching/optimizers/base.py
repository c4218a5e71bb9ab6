"""What an optimizer is: it is asked for codes to evaluate and told how well they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

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


class Optimizer(Protocol):
    """Proposes canonical codes inside the budget; owns its generator, so that equal answers give equal questions."""

    def ask(self) -> Trials:
        """What to evaluate next; no codes if there is nothing left."""
        ...

    def learn(self, codes: Ints, scores: Floats) -> None:
        """Before the first question: codes (N, code_length) inside the budget and their scores (N,), known already."""
        ...

    def tell(self, trials: Trials, scores: Floats, errors: Floats) -> None:
        """The answer to the last question.

        Args:
            trials: the question, N codes.
            scores: (N,) the larger the better: losses with the sign turned.
            errors: (N,) standard error of each one's difference to the best of them.
        """
        ...
