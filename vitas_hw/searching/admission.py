"""Codes inside a budget, none twice: what every optimizer draws from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget
from vitas_hw.core.depths import Shares, uniform_depths
from vitas_hw.core.operators import Ints
from vitas_hw.core.space import HEADER, PER_BLOCK
from vitas_hw.core.variation import mutation
from vitas_hw.searching.costs import Costs

Floats = npt.NDArray[np.float64]
NEAR = 0.9  # of the ceiling: where the authors keep their whole population (0.9G to 1G of 1G)
_DRAWN = 500
_MOST_DRAWS = 40
_ROUNDS = 6  # of draws near the ceiling, each for the depths that still lack some
_AGAIN = 2  # such rounds, once there were some
_RENEWED = 100  # drawn even where enough are known from before
_TRIED = 2  # rounds in which depths of which none came near are tried
_STEPS = 40  # that such a draw is moved, at most
_PATIENCE = 6  # steps in which none more arrives there: the others cost as much, or as little, as their depth allows
_GENES = 4.0  # changed in a step, on average
_STOCK = 4000


class Admission:
    """Tells which codes a search may still evaluate, and draws such codes.

    Args:
        costs: of the space's codes.
        budget: an empty one admits all.
        depths: of random codes, the share of each depth from the fewest blocks to the most: those that the supernet was
            trained with; None has all depths equally often.
        near: draw at ``NEAR`` to 1 of the ceiling as long as there is anything; else anywhere inside, as a front needs.
        seen: codes (N, code_length) that are known already.

    Raises InfeasibleBudgetError if no subnet fits.
    """

    def __init__(
        self,
        costs: Costs,
        budget: Budget,
        *,
        depths: Shares | None = None,
        near: bool = True,
        seen: Ints | None = None,
    ) -> None:
        self.space, self.costs, self.budget = costs.space, costs, budget
        self._depths: Floats = np.asarray(depths or uniform_depths(self.space), np.float64)
        nothing = np.zeros((0, self.space.code_length), np.int64)
        limits = costs.limits(budget)
        self._inside = costs.feasible_code(budget)[None] if limits else nothing
        largest = self.space.encode(self.space.largest)[None]
        reached = float(costs.standing(largest, budget)[1][0]) if limits else 0.0
        self._ceiling = near and reached >= NEAR  # else nothing gets there
        self._near = nothing
        self._seen: set[bytes] = set()
        if seen is not None:
            self.remember(seen)

    def remember(self, codes: Ints) -> None:
        """No code of these is admitted again."""
        self._seen.update(code.tobytes() for code in codes)

    def seen(self, code: Ints) -> bool:
        return code.tobytes() in self._seen

    def outside(self, codes: Ints) -> npt.NDArray[np.bool_]:
        """(N,) whether each code breaks the budget."""
        return self.costs.excess(codes, self.budget) > 0

    def new(self, codes: Ints) -> Ints:
        """Those of N codes that are inside and were not seen, each once, in their order."""
        codes = self._unseen(codes)
        return codes[~self.outside(codes)]

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        """Up to ``count`` new random codes; fewer where the bounded number of draws finds no more.

        Near the ceiling first, and of those every depth that gets there as often as in training.
        """
        found = self._draw_near(count, rng) if self._ceiling else self._near
        if len(found) < count:
            found = distinct(np.concatenate([found, self._draw_anywhere(count, rng)]))[:count]
        return rng.permutation(found)

    def _unseen(self, codes: Ints) -> Ints:
        codes = distinct(codes)
        return codes[[not self.seen(code) for code in codes]] if len(codes) else codes

    def _draw_near(self, count: int, rng: np.random.Generator) -> Ints:
        wanted, drawn = self._depths, _RENEWED
        stock = rng.permutation(self._unseen(self._near))
        for round_ in range(_AGAIN if len(self._near) else _ROUNDS):
            moved = self._moved_near(self.space.sample_codes(drawn, rng, wanted.tolist()), rng)
            stock = distinct(np.concatenate([stock, self._unseen(moved)]))
            have = np.bincount(self._depth_of(stock), minlength=len(self._depths))
            reached = np.where(have > 0, self._depths, 0.0)
            quota = np.ceil(count * reached / max(reached.sum(), 1e-12))
            lacking = np.maximum(quota - have, 0.0)
            drawn = _DRAWN
            if not reached.any() and round_ < _TRIED:
                continue
            if not lacking.any():
                break
            untried = np.where(have > 0, 0.0, self._depths) if round_ < _TRIED else np.zeros(len(self._depths))
            wanted = (lacking / lacking.sum() + untried) / (1 + untried.sum())
        self._near = stock[-_STOCK:]
        if not len(stock):
            self._ceiling = False  # nothing in the space costs as much, or all of it is known
            return stock
        stock = rng.permutation(stock)
        depth = self._depth_of(stock)
        by_depth = np.argsort(depth, kind="stable")
        place = np.empty(len(stock))  # of each code among those of its depth
        place[by_depth] = np.arange(len(stock)) - np.searchsorted(depth[by_depth], depth[by_depth])
        return stock[np.argsort(place / (self._depths[depth] + 1e-9), kind="stable")][:count]

    def _depth_of(self, codes: Ints) -> Ints:
        """(N,) which of the depths, from the fewest on."""
        return self.space.depths(codes) - self.space.depth[0]

    def _moved_near(self, codes: Ints, rng: np.random.Generator) -> Ints:
        """Those of N codes that come near the ceiling, and stay inside, by steps towards it that keep the depth."""
        most = self.space.cardinalities - 1
        ops = slice(HEADER, None, PER_BLOCK)
        there = np.ones(codes.shape, bool)
        there[:, HEADER:] = np.repeat(codes[:, ops] > 0, PER_BLOCK, axis=1)
        least = np.zeros(codes.shape, np.int64)
        least[:, ops] = codes[:, ops] > 0
        away, up = self._away(codes)
        arrived, still = 0, 0
        for _ in range(_STEPS):
            rows = np.flatnonzero(away > 0)
            still = still + 1 if arrived == len(codes) - len(rows) else 0
            arrived = len(codes) - len(rows)
            if not len(rows) or (arrived and still >= _PATIENCE):
                break
            shape = (len(rows), len(most))
            hit = (rng.random(shape) < _GENES / (there[rows].sum(axis=1, keepdims=True))) & there[rows]
            sign = np.where(up[rows, None], 1, -1) * np.where(np.arange(len(most)) == 0, -1, 1)  # large patches: cheap
            step = np.where(hit, sign * rng.integers(1, np.maximum(most // 2, 1) + 1, shape), 0)
            tried = np.clip(codes[rows] + step, least[rows], most)
            tried_away, tried_up = self._away(tried)
            nearer = tried_away < away[rows]
            codes[rows[nearer]], away[rows[nearer]], up[rows[nearer]] = (
                tried[nearer],
                tried_away[nearer],
                tried_up[nearer],
            )
        return self.space.canonical(codes[away <= 0])

    def _away(self, codes: Ints) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(N,) how far outside of what is near each code lies, 0 or less within; and whether it costs too little."""
        outside, load = self.costs.standing(codes, self.budget)
        return np.maximum(outside, NEAR - load), load < NEAR

    def _draw_anywhere(self, count: int, rng: np.random.Generator) -> Ints:
        """Where random codes are too rarely inside, mutants of codes inside help."""
        found = self.new(self._inside)
        for draw in range(_MOST_DRAWS):
            drawn = self.space.sample_codes(_DRAWN, rng, self._depths.tolist())
            if draw >= _ROUNDS and len(self._inside):
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
