"""Regularized evolution (Real et al., "Regularized Evolution for Image Classifier Architecture Search", 2019)."""

from __future__ import annotations

from collections import deque

import numpy as np

from vitas_hw.core.operators import Ints
from vitas_hw.core.variation import mutation
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.optimizers.base import Floats, Trials

_SAMPLE_SHARE = 0.25  # of the population that meets in a tournament: the paper's 25 of 100
_CHILDREN = 32
_MOST_TRIES = 20


class RegularizedEvolution:
    """Regularized ("aging") evolution: the best of a random sample has one mutated child, and the oldest dies.

    Args:
        admission: what may be asked for.
        population: how many live at once.
        seed: of every draw.
    """

    def __init__(self, admission: Admission, population: int, seed: int) -> None:
        self._admission, self._rng = admission, np.random.default_rng(seed)
        self._population = population
        self._alive: deque[tuple[Ints, float]] = deque(maxlen=population)
        self._begun = False

    def ask(self) -> Trials:
        """The first population at once, then a child at a time; a random code where no new child is found."""
        lacking = self._population - len(self._alive)
        codes = self._child() if self._begun else self._admission.draw(lacking, self._rng)
        self._begun = True
        self._admission.remember(codes)
        return Trials(codes)

    def learn(self, codes: Ints, scores: Floats) -> None:
        """The best of them are half of the first population, and its oldest."""
        best = np.argsort(-scores, kind="stable")[: self._population // 2]
        self._alive.extend((codes[row], float(scores[row])) for row in best)

    def tell(self, trials: Trials, scores: Floats, errors: Floats) -> None:  # noqa: ARG002
        """The children join; the oldest fall out of the queue."""
        self._alive.extend(zip(trials.codes, scores.tolist(), strict=True))

    def _child(self) -> Ints:
        if not self._alive:
            return self._admission.draw(1, self._rng)
        meeting = max(2, round(_SAMPLE_SHARE * len(self._alive)))
        chosen = self._rng.choice(len(self._alive), min(meeting, len(self._alive)), replace=False)
        parent = max((self._alive[row] for row in chosen), key=lambda one: one[1])[0]
        for _ in range(_MOST_TRIES):
            parents = np.repeat(parent[None], _CHILDREN, axis=0)
            children = self._admission.new(mutation(self._admission.space, parents, self._rng, genes=1.0))
            if len(children):
                return children[:1]
        return self._admission.draw(1, self._rng)
