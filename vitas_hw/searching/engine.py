"""The loop of every search: ask, evaluate, tell, until the evaluations or the time are spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vitas_hw.core.operators import Ints
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.archive import Archive, Key
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.optimizers.base import Optimiser
from vitas_hw.searching.result import Candidate

Job = tuple[Ints, int]  # a canonical code, a part of the search split
Evaluate = Callable[[Sequence[Job]], Iterable[float]]  # top-1 of each job in order, in [0, 1]; lazily, to stop early
_ROUNDING = 1e-9


@dataclass
class Evaluations:
    """Scores codes on growing parts of the search split; nothing is evaluated twice.

    Args:
        space: of the codes.
        evaluate: top-1 of (code, part) jobs.
        shares: of the split's images that lie in each part; they sum to 1.
        archive: what is known already.
        proxy: whether ``evaluate`` gives a training-free score instead of a top-1.
    """

    space: SearchSpace
    evaluate: Evaluate
    shares: tuple[float, ...] = (1.0,)
    archive: Archive = field(default_factory=Archive)
    proxy: bool = False
    spent: float = field(default=0.0, init=False)  # in evaluations of the whole split, by this search, cached or not
    _asked: set[Key] = field(default_factory=set, init=False)

    def key(self, code: Ints, part: int) -> Key:
        layers = None if self.space.identity_shifting else self.space.layers(code)
        return self.space.decode(code).digest, layers, part

    def cost(self, code: Ints, level: int) -> float:
        """What scoring a code adds to ``spent``."""
        return sum(self.shares[part] for part in self._parts(level) if self.key(code, part) not in self._asked)

    def scores(self, codes: Ints, level: int) -> Iterable[float]:
        """Top-1 of each code on all images of the parts up to ``level``, one after the other."""
        parts = self._parts(level)
        keys = [[self.key(code, part) for part in parts] for code in codes]
        missing = [
            (code, part)
            for code, row in zip(codes, keys, strict=True)
            for part, key in zip(parts, row, strict=True)
            if key not in self.archive
        ]
        found = iter(self.evaluate(missing))
        for row in keys:
            for part, key in zip(parts, row, strict=True):
                if key not in self.archive:
                    self.archive.add(key, float(next(found)))
                if key not in self._asked:
                    self._asked.add(key)
                    self.spent += self.shares[part]
            shares = [self.shares[part] for part in parts]
            yield float(np.dot([self.archive[key] for key in row], shares) / sum(shares))

    def whole(self, level: int) -> bool:
        return self._parts(level)[-1] == len(self.shares) - 1

    def _parts(self, level: int) -> range:
        return range(level % len(self.shares) + 1)


def explore(
    optimiser: Optimiser,
    evaluations: Evaluations,
    costs: Costs,
    limit: float,
    *,
    on_candidate: Callable[[Candidate], None] = lambda _: None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> list[Candidate]:
    """Every subnet evaluated on the whole search split, in the order of evaluation, none twice.

    Args:
        optimiser: proposes codes inside the budget.
        evaluations: score them.
        costs: for the predicted latency of candidates.
        limit: most evaluations, counted in whole search splits.
        on_candidate: called after each.
        time_is_up: asked after each evaluation.
    """
    candidates: list[Candidate] = []
    stop = False
    while not stop and evaluations.spent < limit - _ROUNDING:
        trials = optimiser.ask()
        codes = _affordable(trials.codes, trials.level, evaluations, limit)
        predicted = costs.latency_ms(codes)
        top1: list[float] = []
        for row, score in enumerate(evaluations.scores(codes, trials.level)):
            top1.append(score)
            if evaluations.whole(trials.level):
                candidates.append(_candidate(evaluations, codes[row], score, predicted[row]))
                on_candidate(candidates[-1])
            if time_is_up() and candidates:  # an end without a subnet would be no end
                stop = True
                break
        if len(top1) < len(trials.codes) or not top1:
            break
        optimiser.tell(trials, np.array(top1))
    return candidates


def _affordable(codes: Ints, level: int, evaluations: Evaluations, limit: float) -> Ints:
    costs = np.cumsum([evaluations.cost(code, level) for code in codes])
    return codes[: int(np.searchsorted(costs, limit - evaluations.spent + _ROUNDING, side="right"))]


def _candidate(evaluations: Evaluations, code: Ints, top1: float, predicted_ms: float | None) -> Candidate:
    space = evaluations.space
    layers = None if space.identity_shifting else space.layers(code)
    return Candidate(space.decode(code), top1, predicted_ms, layers, evaluations.proxy)


class Scorer(Protocol):
    """Scores one job. A copy of it in another process gives the same scores."""

    def __call__(self, job: Job) -> float: ...

    def to(self, device: str) -> Scorer:
        """The same on a torch device."""
        ...
