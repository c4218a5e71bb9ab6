"""The loop of every search: ask, evaluate, tell, until the evaluations or the time are spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.records import refusing
from vitas_hw.searching.archive import FRESH, Archive, Key
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.optimizers.base import Optimizer
from vitas_hw.searching.result import Candidate, candidate_of, errors_of
from vitas_hw.searching.scores import Score, joined

Job = tuple[Candidate, int]  # not evaluated yet, and a part of the search split
Evaluate = Callable[[Sequence[Job]], Iterable[Score]]  # of each job in order; lazily, to stop early
_ROUNDING = 1e-9


class Scorer(Protocol):
    """Scores one job. A copy of it in another process gives the same scores."""

    def __call__(self, job: Job) -> Score: ...

    def to(self, device: str) -> Scorer:
        """The same on a torch device."""
        ...


@dataclass
class Evaluations:
    """Scores candidates on growing parts of the search split; nothing is evaluated twice.

    Args:
        evaluate: scores of (candidate, part) jobs; None ranks by the number of parameters and knows no loss.
        shares: of the split's images that lie in each part; they sum to 1.
        archive: what is known already.
    """

    evaluate: Evaluate | None
    shares: tuple[float, ...] = (1.0,)
    archive: Archive = field(default_factory=Archive)
    spent: float = field(default=0.0, init=False)  # in evaluations of the whole split, by this search, cached or not
    _asked: set[Key] = field(default_factory=set, init=False)

    def affordable(self, candidates: Sequence[Candidate], level: int, limit: float) -> list[Candidate]:
        """The first of them, as many as can be scored before ``spent`` exceeds the limit."""
        new = [[key not in self._asked for key in self._keys(one, level)] for one in candidates]
        costs = np.cumsum([sum(share for share, asks in zip(self.shares, row, strict=False) if asks) for row in new])
        return list(candidates[: int(np.searchsorted(costs, limit - self.spent + _ROUNDING, side="right"))])

    def scored(self, candidates: Sequence[Candidate], level: int) -> Iterable[Candidate]:
        """Each candidate with its score on all images of the parts up to ``level``, one after the other."""
        if self.evaluate is None:
            for one in candidates:
                self.spent += 1
                yield one
            return
        keys = [self._keys(one, level) for one in candidates]
        missing = [
            (one, part)
            for one, row in zip(candidates, keys, strict=True)
            for part, key in enumerate(row)
            if key not in self.archive
        ]
        found = iter(self.evaluate(missing))
        for one, row in zip(candidates, keys, strict=True):
            for part, key in enumerate(row):
                if key not in self.archive:
                    assert one.code is not None
                    self.archive.add(key, next(found), one.code)
                if key not in self._asked:
                    self._asked.add(key)
                    self.spent += self.shares[part]
            yield one.with_score(joined([self.archive[key] for key in row]))

    def known(self, costs: Costs, first: int | None = None) -> list[Candidate]:
        """What the archive holds on the whole split, in order; ``first`` looks at that many of its evaluations only.

        Raises:
            FileError: a code means another subnet than the one it stands by.
        """
        found = []
        for (digest, layers), (code, score) in self.archive.known(len(self.shares), first).items():
            genes = np.array(code, np.int64)
            with refusing(self.archive.path, f"does not fit the space: subnet {digest} is broken", FRESH):
                one = candidate_of(costs.space, genes)
                if (one.subnet.digest, one.layers) != (digest, layers):
                    raise InputError(f"its code is that of {one.subnet.digest}")
            found.append(one.with_score(score))
        if not found:
            return []
        predicted = costs.predicted_ms(
            costs.space.columns(np.stack([one.code for one in found if one.code is not None]))
        )
        return [replace(one, predicted_ms=ms) for one, ms in zip(found, predicted, strict=True)]

    def costs_nothing(self, candidates: Sequence[Candidate]) -> None:
        """Asking for these is not counted."""
        for one in candidates:
            self._asked.update(self._keys(one, len(self.shares) - 1))

    def whole(self, level: int) -> bool:
        return self._parts(level) == len(self.shares)

    def _keys(self, candidate: Candidate, level: int) -> list[Key]:
        return [(candidate.subnet.digest, candidate.layers, part) for part in range(self._parts(level))]

    def _parts(self, level: int) -> int:
        return level % len(self.shares) + 1


def explore(
    optimizer: Optimizer,
    evaluations: Evaluations,
    costs: Costs,
    limit: float,
    *,
    on_candidate: Callable[[Candidate], None] = lambda _: None,
    time_is_up: Callable[[], bool] = lambda: False,
) -> list[Candidate]:
    """Every subnet evaluated on the whole search split, in the order of evaluation, none twice.

    Args:
        optimizer: proposes codes inside the budget.
        evaluations: score them.
        costs: of the codes' space, for the predicted latency of candidates.
        limit: most evaluations, counted in whole search splits.
        on_candidate: called after each.
        time_is_up: asked after each evaluation.
    """
    candidates: list[Candidate] = []
    stop = False
    while not stop and evaluations.spent < limit - _ROUNDING:
        trials = optimizer.ask()
        asked = [candidate_of(costs.space, code) for code in trials.codes]
        asked = evaluations.affordable(asked, trials.level, limit)
        predicted = costs.predicted_ms(costs.space.columns(trials.codes[: len(asked)]))
        asked = [replace(one, predicted_ms=ms) for one, ms in zip(asked, predicted, strict=True)]
        found: list[Candidate] = []
        for one in evaluations.scored(asked, trials.level):
            found.append(one)
            if evaluations.whole(trials.level):
                candidates.append(one)
                on_candidate(one)
            if time_is_up() and candidates:  # an end without a subnet would be no end
                stop = True
                break
        if len(found) < len(trials.codes) or not found:
            break
        optimizer.tell(trials, np.array([one.rank for one in found]), errors_of(found))
    return candidates
