"""Searching, measuring the finalists, and searching on with what the measurements taught."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitas_hw.core.budget import Budget
from vitas_hw.core.space import HEADER, PER_BLOCK
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluations, explore
from vitas_hw.searching.finalists import NoneInsideError, Verdict, choose_measured
from vitas_hw.searching.optimisers import make_optimiser
from vitas_hw.searching.result import Candidate, SearchResult, best_first, knee_first
from vitas_hw.searching.surrogate import SurrogateSearch
from vitas_hw.workflows.progress import Progress
from vitas_hw.workflows.search_settings import SearchSettings

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
        costs: of the space's codes.
        budget: what the choice must keep.
        evaluations: top-1 of codes.
        settings: how to search.
        progress: where to report to.
        measure: subnets to p50 in milliseconds on the target; None chooses by prediction.
        margin: see ``choose_measured``.
    """

    costs: Costs
    budget: Budget
    evaluations: Evaluations
    settings: SearchSettings
    progress: Progress
    measure: Measure | None
    margin: float = 0.0

    def run(self) -> Settled:
        """Search; measure; while nothing measures inside, search on under the corrected prediction, a few times.

        Raises:
            InfeasibleBudgetError: no subnet fits.
            NoneInsideError: nothing measured inside in the end.
        """
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
                more = self._more(candidates, missed.correction)
                if not more:
                    raise
                candidates = candidates + more
            else:
                return Settled(candidates, verdict, _correction(candidates, verdict.measured_ms))
        raise AssertionError("the last continuation returns or raises")

    def _order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return (
            knee_first(candidates, self.settings.pareto) if self.settings.choose == "knee" else best_first(candidates)
        )

    def _choose(self, candidates: Sequence[Candidate], known: dict[str, float]) -> Verdict:
        assert self.measure is not None
        latency = self.budget.latency_ms
        return choose_measured(candidates, latency, self.measure, margin=self.margin, known=known, order=self._order)

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
        until = None if settings.max_time_s is None else time.monotonic() + settings.max_time_s
        best = 0.0
        with self.progress.step(f"searching under {self.budget}", limit) as advance:

            def on_candidate(candidate: Candidate) -> None:
                nonlocal best
                best = max(best, candidate.top1)
                advance(f"best top-1 {best:.3f}")

            found = explore(
                optimiser,
                self.evaluations,
                self.costs,
                limit,
                on_candidate=on_candidate,
                time_is_up=lambda: until is not None and time.monotonic() > until,
            )
        if until is not None and time.monotonic() > until:
            self.progress.note(f"time is up after {self.evaluations.spent:.0f} of {limit} evaluations: the best so far")
        return found

    def _more(self, candidates: Sequence[Candidate], correction: float) -> list[Candidate]:
        """New candidates that the corrected prediction lets expect inside the budget, found from the archive."""
        space = self.costs.space
        costs = replace(self.costs, correction=correction)
        codes = np.stack([_code(candidate, costs) for candidate in candidates])
        self.progress.note(
            f"no finalist measured inside the budget: latency is {correction:.3f} times the predicted one here, and"
            " the search goes on with that"
        )
        admission = Admission(space, costs, self.budget, seen=codes)
        seed = self.settings.seed + 1
        optimiser = SurrogateSearch(admission, self.settings.evolution.population, seed)
        optimiser.learn(codes, np.array([candidate.top1 for candidate in candidates]))
        limit = self.evaluations.spent + max(1, round(self.settings.evolution.evaluations * _EXTRA))
        return explore(optimiser, self.evaluations, costs, limit)


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


def _correction(candidates: Sequence[Candidate], measured: dict[str, float]) -> float:
    ratios = [
        measured[c.subnet.digest] / c.predicted_ms for c in candidates if c.predicted_ms and c.subnet.digest in measured
    ]
    return float(np.median(ratios)) if ratios else 1.0


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
    )
