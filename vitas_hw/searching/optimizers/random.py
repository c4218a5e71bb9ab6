"""Random subnets inside the budget: the baseline that every other optimizer has to beat."""

from __future__ import annotations

import numpy as np

from vitas_hw.core.operators import Ints
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.optimizers.base import Floats, Trials

_BATCH = 16


class RandomSearch:
    """Asks for random codes, none twice."""

    def __init__(self, admission: Admission, seed: int) -> None:
        self._admission, self._rng = admission, np.random.default_rng(seed)

    def ask(self) -> Trials:
        """A few more random codes."""
        codes = self._admission.draw(_BATCH, self._rng)
        self._admission.remember(codes)
        return Trials(codes)

    def learn(self, codes: Ints, scores: Floats) -> None:
        """Random search learns nothing."""

    def tell(self, trials: Trials, scores: Floats, errors: Floats) -> None:
        """Nor here."""
