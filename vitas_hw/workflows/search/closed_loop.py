"""Searching, measuring the finalists, and searching on with what the measurements taught."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vitas_hw.core.budget import Budget
from vitas_hw.core.progress import Progress
from vitas_hw.core.space import HEADER, PER_BLOCK
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluations, explore
from vitas_hw.searching.finalists import NoneInsideError, Verdict, choose_measured, correction_of
from vitas_hw.searching.optimizers.registry import make_optimiser
from vitas_hw.searching.optimizers.surrogate import SurrogateSearch
from vitas_hw.searching.result import Candidate, Round, SearchResult, best_first, knee_first
from vitas_hw.workflows.search.settings import SearchSettings

Refit = Callable[[Mapping[Subnet, float]], Predictor]  # p50 in milliseconds of subnets that were measured
Measure = Callable[[Sequence[Subnet]], Sequence[float]]
_CONTINUATIONS = 2  # of a search whose finalists all measured outside
_EXTRA = 1 / 3  # of the evaluations, for each


@dataclass(frozen=True)
class Settled:
    """All candidates, the verdict on them, and what measured latencies are in units of predicted ones."""

    candidates: list[Candidate]
    verdict: Verdict
    correction: float


@dataclass
class ClosedLoop:
    """One search.

    Args:
        costs: of the space's codes; after a miss, by the predictor fitted anew.
        budget: what the choice must keep.
        evaluations: top-1 of codes.
        settings: how to search.
        progress: where to report to.
        measure: subnets to p50 in milliseconds on the target; None chooses by prediction.
        margin: see ``choose_measured``.
        refit: a predictor that knows what was measured; None leaves the predictor as it is and only scales it.
    """

    costs: Costs
    budget: Budget
    evaluations: Evaluations
    settings: SearchSettings
    progress: Progress
    measure: Measure | None
    margin: float = 0.0
    refit: Refit | None = None
    rounds: list[Round] = field(default_factory=list, init=False)
    measured: dict[Subnet, float] = field(default_factory=dict, init=False)
    _until: float | None = field(default=None, init=False)

    def run(self) -> Settled:
        """Search; measure; while nothing measures inside, search on under what was learned, a few times.

        Raises:
            InfeasibleBudgetError: no subnet fits.
            NoneInsideError: nothing measured inside in the end.
        """
        seconds = self.settings.max_time_s
        self._until = None if seconds is None else time.monotonic() + seconds
        candidates = self._first()
        if self.measure is None:
            return Settled(candidates, Verdict(self._order(candidates)[0], {}), 1.0)
        known: dict[str, float] = {}
        for continuation in range(_CONTINUATIONS + 1):
            try:
                verdict = self._choose(candidates, known)
            except NoneInsideError as missed:
                if continuation == _CONTINUATIONS:
                    raise
                known = missed.measured_ms
                candidates = self._learn(candidates, known)
                more = self._more(candidates)
                if not more:
                    raise
                candidates = candidates + more
            else:
                return Settled(candidates, verdict, correction_of(candidates, verdict.measured_ms))
        raise AssertionError("the last continuation returns or raises")

    def _order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return (
            knee_first(candidates, self.settings.pareto) if self.settings.choose == "knee" else best_first(candidates)
        )

    def _choose(self, candidates: Sequence[Candidate], known: dict[str, float]) -> Verdict:
        latency = self.budget.latency_ms
        return choose_measured(candidates, latency, self._take, margin=self.margin, known=known, order=self._order)

    def _take(self, subnets: Sequence[Subnet]) -> list[float]:
        """Measure, and keep what was predicted beside it."""
        assert self.measure is not None
        found = [float(ms) for ms in self.measure(subnets)]
        self.measured |= dict(zip(subnets, found, strict=True))
        digests, latency = [subnet.digest for subnet in subnets], self.budget.latency_ms
        outside = [latency is not None and bool(latency.excess(ms) > 0) for ms in found]
        self.rounds.append(
            Round(
                predicted_ms=_known(digests, self.costs.predicted_ms(subnets)),
                measured_ms=dict(zip(digests, found, strict=True)),
                violations=tuple(digest for digest, one in zip(digests, outside, strict=True) if one),
                samples=getattr(self.costs.predictor, "samples", None),
                correction=self.costs.correction,
            )
        )
        return found

    def _time_is_up(self) -> bool:
        return self._until is not None and time.monotonic() > self._until

    def _first(self) -> list[Candidate]:
        settings = self.settings
        admission = Admission(self.costs.space, self.costs, self.budget)
        optimiser = make_optimiser(
            settings.optimizer,
            admission,
            settings.evolution,
            settings.seed,
            against=settings.pareto,
            levels=len(self.evaluations.shares),
        )
        limit = settings.evolution.evaluations
        best = 0.0
        by = ", ranked by a training-free proxy" if settings.proxy else ""
        with self.progress.step(f"searching under {self.budget}{by}", limit) as advance:

            def on_candidate(candidate: Candidate) -> None:
                nonlocal best
                best = max(best, candidate.top1)
                advance(f"best proxy score {best:.4g}" if settings.proxy else f"best top-1 {best:.3f}")

            found = explore(
                optimiser,
                self.evaluations,
                self.costs,
                limit,
                on_candidate=on_candidate,
                time_is_up=self._time_is_up,
            )
        if self._time_is_up():
            self.progress.note(f"time is up after {self.evaluations.spent:.0f} of {limit} evaluations: the best so far")
        return found

    def _learn(self, candidates: Sequence[Candidate], known: dict[str, float]) -> list[Candidate]:
        """Costs by a predictor that was fitted to the misses too, and the candidates with its predictions."""
        fitted = ""
        if self.refit is not None:
            predictor = self.refit(self.measured)
            fitted = f"the predictor is fitted anew to {predictor.samples} subnets, and "
            self.costs = replace(self.costs, predictor=predictor, correction=1.0)
            predicted = self.costs.predicted_ms([candidate.subnet for candidate in candidates])
            candidates = [replace(c, predicted_ms=ms) for c, ms in zip(candidates, predicted, strict=True)]
        correction = correction_of(candidates, known)  # what the fit leaves over, or all of it
        self.costs = replace(self.costs, correction=correction)
        self.progress.note(
            f"no finalist measured inside the budget: {fitted}latency is {correction:.3f} times the predicted one here;"
            " the search goes on with that"
        )
        return list(candidates)

    def _more(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """New candidates that the new prediction lets expect inside the budget, found from the archive."""
        codes = np.stack([_code(candidate, self.costs) for candidate in candidates])
        admission = Admission(self.costs.space, self.costs, self.budget, seen=codes)
        seed = self.settings.seed + 1
        optimiser = SurrogateSearch(admission, self.settings.evolution.population, seed)
        optimiser.learn(codes, np.array([candidate.top1 for candidate in candidates]))
        limit = self.evaluations.spent + max(1, round(self.settings.evolution.evaluations * _EXTRA))
        return explore(optimiser, self.evaluations, self.costs, limit, time_is_up=self._time_is_up)


def _known(digests: Sequence[str], predicted: Sequence[float | None]) -> dict[str, float]:
    return {digest: ms for digest, ms in zip(digests, predicted, strict=True) if ms is not None}


def _code(candidate: Candidate, costs: Costs) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A candidate's canonical code; its blocks where they were evaluated."""
    code = costs.space.encode(candidate.subnet)
    if candidate.layers is None:
        return code
    placed = np.zeros_like(code)
    placed[:HEADER] = code[:HEADER]
    blocks = code[HEADER:].reshape(-1, PER_BLOCK)
    placed[HEADER:].reshape(-1, PER_BLOCK)[list(candidate.layers)] = blocks[: len(candidate.layers)]
    return placed


def recorded(measure: Measure, archive: Archive, search: str) -> Measure:
    """``measure`` that first gives the rounds which an unfinished search has recorded, and records new ones."""
    rounds = iter(archive.measured(search))

    def measured(subnets: Sequence[Subnet]) -> list[float]:
        digests = [subnet.digest for subnet in subnets]
        kept = next(rounds, {})
        if set(kept) == set(digests):
            return [kept[digest] for digest in digests]
        found = [float(ms) for ms in measure(subnets)]
        archive.add_measured(search, dict(zip(digests, found, strict=True)))
        return found

    return measured


def result_of(loop: ClosedLoop, settled: Settled, inputs: dict[str, str]) -> SearchResult:
    """What a finished search found."""
    return SearchResult(
        budget=loop.budget,
        seed=loop.settings.seed,
        evolution=loop.settings.to_dict() | {"confidence": loop.costs.confidence},
        space=loop.costs.space.name,
        inputs=inputs,
        candidates=tuple(settled.candidates),
        measured_ms=settled.verdict.measured_ms,
        choice=settled.verdict.choice,
        targets={other.name: [other.latency_ms.low, other.latency_ms.high] for other in loop.costs.others},
        correction=settled.correction,
        rounds=tuple(loop.rounds),
    )
