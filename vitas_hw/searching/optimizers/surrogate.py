"""The default search: a surrogate of the score proposes, the supernet confirms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vitas_hw.core.operators import Ints
from vitas_hw.core.variation import crossover, mutation
from vitas_hw.searching.admission import Admission, distinct
from vitas_hw.searching.optimizers.base import WHOLE, Floats, Trials
from vitas_hw.searching.optimizers.score_model import Surrogate, code_features

_BATCH_SHARE = 0.25  # of the population: subnets confirmed before the surrogate is fitted again
_GROWTH = 16  # one more for every so many subnets evaluated, so that fitting stays a small part of a long search
_FRESH, _BRED, _GENERATIONS, _PARENTS = 400, 200, 4, 60
_CURIOSITY = 1.0  # spreads of the surrogate's members that an unknown subnet is given on top
_KEPT = 0.5  # of a race go on to the next part of the split
_TRADES = 64
_SUM_TOO = 0.05  # of a trade, beside its worse side, so that nothing beaten is wanted
_CLEARLY = 2.0  # standard errors of the paired difference


class SurrogateSearch:
    """Gradient boosting on the evaluated subnets picks among many inside the budget; the best of them are evaluated.

    Candidates are random codes and, over a few generations, children of the best known and best predicted ones, all
    scored by the surrogate alone. On a large search split they race: many see its first part, the better half of them
    the next, and only the last ones all of it (successive halving); one that is worse than the best of its round by
    two standard errors of their difference ends there.

    Args:
        admission: what may be asked for.
        population: random subnets before the first fit.
        seed: of every draw and tree.
        levels: parts of the search split; 1 does not race.
        against: a cost to hold down while the score goes up: what is evaluated is then spread over the whole front, by
            a trade of score for cost drawn anew for each (random scalarisations, as in ParEGO, Knowles 2006). None is
            the score alone.
    """

    def __init__(
        self, admission: Admission, population: int, seed: int, *, levels: int = 1, against: str | None = None
    ) -> None:
        self._against = against
        self._admission, self._rng = admission, np.random.default_rng(seed)
        self._population, self._levels = population, levels
        self._racing = Trials(np.zeros((0, admission.space.code_length), np.int64))
        self._known: dict[bytes, tuple[Ints, float, int]] = {}
        self._learned = 0  # of them from earlier

    def ask(self) -> Trials:
        """The next part for those still racing, or new subnets."""
        if not len(self._racing.codes):
            codes = self._propose() if self._known else self._admission.draw(self._population, self._rng)
            self._admission.remember(codes)
            self._racing = Trials(codes, 0 if self._levels > 1 else WHOLE)
        return self._racing

    def tell(self, trials: Trials, scores: Floats, errors: Floats) -> None:
        """Remember; the better half goes on, but for those that are clearly worse than the best."""
        level = trials.level % self._levels
        for code, score in zip(trials.codes, scores.tolist(), strict=True):
            self._known[code.tobytes()] = (code, score, level)
        last = level == self._levels - 1
        kept = 0 if last else max(1, int(np.ceil(len(scores) * _KEPT)))
        best = np.argsort(-scores, kind="stable")[:kept]
        best = best[scores.max() - scores[best] <= _CLEARLY * errors[best]]
        self._racing = Trials(trials.codes[np.sort(best)], min(level + 1, self._levels - 1))

    def learn(self, codes: Ints, scores: Floats) -> None:
        """Codes (N, code_length) with their scores (N,) on the whole split, from an earlier search."""
        self._learned += len(codes)
        self._known |= {
            code.tobytes(): (code, score, self._levels - 1) for code, score in zip(codes, scores, strict=True)
        }

    def _propose(self) -> Ints:
        count = max(1, round(self._population * _BATCH_SHARE), (len(self._known) - self._learned) // _GROWTH)
        if self._levels > 1:
            count *= 2 ** (self._levels - 1)
        space = self._admission.space
        known = np.stack([code for code, _, _ in self._known.values()])
        scores = np.array([score for _, score, _ in self._known.values()])
        level = np.array([level for _, _, level in self._known.values()])
        surrogate = Surrogate(
            code_features(space, known), scores, 2.0 ** (level - self._levels + 1), int(self._rng.integers(2**20))
        )
        pool = self._admission.draw(_FRESH, self._rng)
        best = known[self._wanted(known, scores, _PARENTS)]
        parents, hopes = best, np.zeros(0)
        for _ in range(_GENERATIONS):
            pool = distinct(np.concatenate([pool, self._admission.new(self._children(parents))]))
            mean, spread = surrogate.predict(code_features(space, pool)) if len(pool) else (hopes, hopes)
            hopes = mean + _CURIOSITY * spread
            kept = self._wanted(pool, hopes, _FRESH + _BRED)
            pool, hopes = pool[kept], hopes[kept]
            parents = np.concatenate([best[: _PARENTS // 2], pool[:_PARENTS]])
        return pool[:count] if self._against is None else pool[self._wanted(pool, hopes, count)]

    def _wanted(self, codes: Ints, scores: Floats, count: int) -> npt.NDArray[np.intp]:
        """Which ``count`` of N codes, the most wanted first."""
        if self._against is None or not len(codes):
            return np.argsort(-scores, kind="stable")[:count]
        goals = np.stack([-scores, np.log(self._admission.costs.of(codes)[self._against])], axis=1)
        scaled = (goals - goals.min(axis=0)) / np.maximum(np.ptp(goals, axis=0), 1e-12)
        weights = self._rng.random((min(count, _TRADES), 1, 1))
        trade = scaled * np.concatenate([weights, 1 - weights], axis=2)
        value = trade.max(axis=2) + _SUM_TOO * trade.sum(axis=2)
        turns = np.argsort(value, axis=1, kind="stable").T.ravel()  # each trade's first, then each one's second, ...
        return turns[np.sort(np.unique(turns, return_index=True)[1])][:count]

    def _children(self, parents: Ints) -> Ints:
        space, rng = self._admission.space, self._rng
        first, second = parents[rng.integers(0, len(parents), (2, _BRED))]
        one, other = crossover(space, first, second, rng)
        crossed = mutation(space, np.concatenate([one, other]), rng, genes=1.0)
        return np.concatenate([crossed, mutation(space, first, rng, genes=2.0)])
