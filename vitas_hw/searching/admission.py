"""Codes inside a budget, none twice: what every optimizer draws from."""

from __future__ import annotations

import numpy as np

from vitas_hw.core.budget import Budget
from vitas_hw.core.depths import Shares, tilted_depths, uniform_depths
from vitas_hw.core.operators import Ints
from vitas_hw.core.variation import mutation
from vitas_hw.searching.costs import Costs

_TILTS = (-0.5, 0.5, -2.0)  # tried in turn with the shares asked for, until enough are found
_MOST_DRAWS = 40
_DRAWN = 500


class Admission:
    """Tells which codes a search may still evaluate, and draws such codes.

    Args:
        costs: of the space's codes.
        budget: an empty one admits all.
        seen: codes (N, code_length) that an earlier part of the search has asked for.
        depths: how often each depth is drawn first; see ``SearchSpace.sample_codes``.

    Raises InfeasibleBudgetError if no subnet fits.
    """

    def __init__(self, costs: Costs, budget: Budget, seen: Ints | None = None, depths: Shares | None = None) -> None:
        self.space, self.costs, self.budget = costs.space, costs, budget
        self._shares = (depths or uniform_depths(self.space), *(tilted_depths(self.space, tilt) for tilt in _TILTS))
        nothing = np.zeros((0, self.space.code_length), np.int64)
        self._inside = costs.feasible_code(budget)[None] if costs.limits(budget) else nothing
        self._seen: set[bytes] = set()
        if seen is not None:
            self.remember(seen)

    def remember(self, codes: Ints) -> None:
        """No code of these is admitted again."""
        self._seen.update(code.tobytes() for code in codes)

    def seen(self, code: Ints) -> bool:
        return code.tobytes() in self._seen

    def outside(self, codes: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """(N,) whether each code breaks the budget."""
        return self.costs.excess(codes, self.budget) > 0

    def new(self, codes: Ints) -> Ints:
        """Those of N codes that are inside and were not seen, each once, in their order."""
        codes = distinct(codes)
        codes = codes[[not self.seen(code) for code in codes]] if len(codes) else codes
        return codes[~self.outside(codes)]

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        """Up to ``count`` new random codes; fewer where the bounded number of draws finds no more.

        Where random codes are too rarely inside, mutants of codes inside help.
        """
        found = self.new(self._inside)
        for draw in range(_MOST_DRAWS):
            drawn = self.space.sample_codes(_DRAWN, rng, self._shares[draw % len(self._shares)])
            if draw >= len(self._shares) and len(self._inside):
                parents = self._inside[rng.integers(0, len(self._inside), _DRAWN)]
                drawn = np.concatenate([drawn, mutation(self.space, parents, rng)])
            found = distinct(np.concatenate([found, self.new(drawn)]))
            self._inside = distinct(np.concatenate([self._inside, found]))[-_DRAWN:]
            if len(found) >= count:
                break
        return rng.permutation(found)[:count]


def distinct(codes: Ints) -> Ints:
    """Each of N codes once, in the order in which they first appear."""
    return codes[np.sort(np.unique(codes, axis=0, return_index=True)[1])]
