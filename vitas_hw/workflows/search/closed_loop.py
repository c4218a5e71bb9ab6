"""Searching, measuring the finalists, and searching on with what the measurements taught."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vitas_hw.core.budget import Budget, Range, show_cost
from vitas_hw.core.errors import VitasError
from vitas_hw.core.operators import Ints, SubnetColumns
from vitas_hw.core.progress import Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.engine import Evaluations, explore
from vitas_hw.searching.optimizers.registry import make_optimizer
from vitas_hw.searching.optimizers.surrogate import SurrogateSearch
from vitas_hw.searching.result import Candidate, Round, SearchResult, best_first, candidate_of, knee_first, ties_of
from vitas_hw.workflows.search.settings import SearchSettings

Refit = Callable[[Mapping[Subnet, float]], Predictor]  # p50 in milliseconds of subnets that were measured
Measure = Callable[[Sequence[Subnet]], Sequence[float]]
Order = Callable[[Sequence[Candidate]], list[Candidate]]
FINALISTS = 5
_MOST_ROUNDS = 3  # of finalists, before the search goes on
_CONTINUATIONS = 2  # of a search whose finalists all measured outside
_EXTRA = 1 / 3  # of the evaluations, for each


@dataclass
class ClosedLoop:
    """One search.

    Args:
        costs: of the space's codes; after a miss, by the predictor fitted anew.
        budget: what the choice must keep.
        evaluations: scores of candidates.
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
    measured: dict[Subnet, float] = field(default_factory=dict, init=False)
    _rounds: list[Round] = field(default_factory=list, init=False)
    _until: float = field(default=np.inf, init=False)

    def run(self) -> SearchResult:
        """Search; measure; while nothing measures inside, search on under what was learned, a few times.

        Raises:
            InfeasibleBudgetError: no subnet fits.
            VitasError: nothing measured inside in the end.
        """
        self._until = time.monotonic() + (self.settings.max_time_s or np.inf)
        candidates = self._first()
        if self.measure is None:
            return self._result(candidates, self._order(candidates)[0])
        choice = self._choose(candidates)
        for _ in range(_CONTINUATIONS):
            if choice is not None:
                break
            candidates = self._learn(candidates)
            more = self._more(candidates)
            if not more:
                break
            candidates = candidates + more
            choice = self._choose(candidates)
        if choice is None:
            assert self.budget.latency_ms is not None
            nearest = min(self.measured.values(), key=self.budget.latency_ms.excess)
            raise VitasError(
                f"None of the {len(self.measured)} finalists measured inside the budget; the nearest took"
                f" {show_cost(nearest, 'latency_ms')}.",
                "Is the machine busy? Try again, profile anew with `fresh`, or give a wider `latency`.",
            )
        return self._result(candidates, choice)

    def _result(self, candidates: Sequence[Candidate], choice: Candidate) -> SearchResult:
        return SearchResult(
            budget=self.budget,
            seed=self.settings.seed,
            evolution=self.settings.to_dict() | {"confidence": self.costs.confidence},
            space=self.costs.space.name,
            inputs={},
            candidates=tuple(candidates),
            measured_ms={subnet.digest: ms for subnet, ms in self.measured.items()},
            choice=choice,
            targets={other.target: [other.bounds.low, other.bounds.high] for other in self.costs.others},
            correction=correction_of(candidates, self.measured),
            rounds=tuple(self._rounds),
            ties=tuple(one.subnet.digest for one in ties_of(candidates)) if self.settings.by_top1 else (),
        )

    def _order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if self.settings.choose == "knee":
            return knee_first(candidates, self.settings.pareto)
        return best_first(candidates)

    def _choose(self, candidates: Sequence[Candidate]) -> Candidate | None:
        choice, self.measured = choose_measured(
            candidates, self.budget.latency_ms, self._take, self.measured, margin=self.margin, order=self._order
        )
        return choice

    def _take(self, subnets: Sequence[Subnet]) -> list[float]:
        """Measure, and keep what was predicted beside it."""
        assert self.measure is not None
        found = [float(ms) for ms in self.measure(subnets)]
        digests, latency = [subnet.digest for subnet in subnets], self.budget.latency_ms
        predicted = zip(digests, self.costs.predicted_ms(SubnetColumns.of(subnets)), strict=True)
        measured = dict(zip(digests, found, strict=True))
        self._rounds.append(
            Round(
                predicted_ms={digest: ms for digest, ms in predicted if ms is not None},
                measured_ms=measured,
                violations=tuple(d for d, ms in measured.items() if latency is not None and not _inside(latency, ms)),
                samples=getattr(self.costs.predictor, "samples", None),
                correction=self.costs.correction,
            )
        )
        return found

    def _time_is_up(self) -> bool:
        return time.monotonic() > self._until

    def _first(self) -> list[Candidate]:
        settings = self.settings
        found = [] if settings.by_top1 else [self._largest()]
        optimizer = make_optimizer(
            settings.optimizer,
            Admission(self.costs, self.budget, _codes(found) if found else None),
            population=settings.population,
            generations=settings.generations,
            seed=settings.seed,
            against=settings.pareto,
            levels=len(self.evaluations.shares),
        )
        limit = settings.evaluations
        best = -np.inf
        by = "" if settings.by_top1 else ", ranked by their number of parameters"
        with self.progress.step(f"searching under {self.budget}{by}", limit) as advance:

            def on_candidate(candidate: Candidate) -> None:
                nonlocal best
                best = max(best, candidate.rank)
                advance(f"least loss {-best:.4f}" if settings.by_top1 else f"most: {show_cost(best, 'params')}")

            for candidate in found:
                on_candidate(candidate)
            found += explore(
                optimizer,
                self.evaluations,
                self.costs,
                limit - len(found),
                on_candidate=on_candidate,
                time_is_up=self._time_is_up,
            )
        if self._time_is_up():
            self.progress.note(f"time is up after {self.evaluations.spent:.0f} of {limit} evaluations: the best so far")
        return found

    def _largest(self) -> Candidate:
        """What a ranking by size has first: known without a search."""
        code = self.costs.largest_inside(self.budget)
        (predicted,) = self.costs.predicted_ms(self.costs.space.columns(code[None]))
        return replace(candidate_of(self.costs.space, code), predicted_ms=predicted)

    def _learn(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Costs by a predictor that was fitted to the misses too, and the candidates with its predictions."""
        fitted = ""
        if self.refit is not None:
            predictor = self.refit(self.measured)
            fitted = f"the predictor is fitted anew to {predictor.samples} subnets, and "
            self.costs = replace(self.costs, predictor=predictor, correction=1.0)
            predicted = self.costs.predicted_ms(SubnetColumns.of([candidate.subnet for candidate in candidates]))
            candidates = [replace(c, predicted_ms=ms) for c, ms in zip(candidates, predicted, strict=True)]
        correction = correction_of(candidates, self.measured)  # what the fit leaves over, or all of it
        self.costs = replace(self.costs, correction=correction)
        self.progress.note(
            f"no finalist measured inside the budget: {fitted}latency is {correction:.3f} times the predicted one here;"
            " the search goes on with that"
        )
        return list(candidates)

    def _more(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """New candidates that the new prediction lets expect inside the budget, found from the archive."""
        codes = _codes(candidates)
        optimizer = SurrogateSearch(
            Admission(self.costs, self.budget, codes), self.settings.population, self.settings.seed + 1
        )
        optimizer.learn(codes, np.array([candidate.rank for candidate in candidates]))
        limit = self.evaluations.spent + max(1, round(self.settings.evaluations * _EXTRA))
        return explore(optimizer, self.evaluations, self.costs, limit, time_is_up=self._time_is_up)


def choose_measured(
    candidates: Sequence[Candidate],
    latency: Range | None,
    measure: Measure,
    measured: Mapping[Subnet, float],
    *,
    margin: float = 0.0,
    order: Order = best_first,
) -> tuple[Candidate | None, dict[Subnet, float]]:
    """Measure five finalists at a time, the most wanted first, until one lies inside the latency budget.

    After a round without one, the next finalists are those whose prediction, scaled by the median error of all that
    were measured, lies inside.

    Args:
        candidates: evaluated subnets, predicted inside the budget.
        latency: the budget; None takes the best.
        measure: subnets to p50 in milliseconds, all in one interleaved run.
        measured: what is known already, in milliseconds.
        margin: share of the ceiling to stay below, so that the choice also measures inside on another day; one that
            only keeps the ceiling itself is taken where none keeps the margin.
        order: which candidates are wanted most.

    Returns: the choice, None if none is inside; and all that is measured now.
    """
    waiting = list({c.subnet: c for c in reversed(order(candidates))}.values())[::-1]  # the best of equals
    known = dict(measured)
    safe = None if latency is None else _below(latency, margin)
    for _ in range(_MOST_ROUNDS):
        correction = correction_of(waiting, known)
        fitting = [
            c
            for c in waiting
            if c.subnet not in known and (latency is None or _inside(latency, (c.predicted_ms or 0) * correction))
        ]
        finalists = fitting[:FINALISTS]
        if not finalists:
            break
        found = measure([candidate.subnet for candidate in finalists])
        known |= {c.subnet: float(ms) for c, ms in zip(finalists, found, strict=True)}
        for candidate in finalists:
            if safe is None or _inside(safe, known[candidate.subnet]):
                return candidate, known
    inside = (c for c in waiting if latency and c.subnet in known and _inside(latency, known[c.subnet]))
    return next(inside, None), known


def correction_of(candidates: Sequence[Candidate], measured: Mapping[Subnet, float]) -> float:
    """The median of what measured latencies are in units of predicted ones; 1 where none is known."""
    ratios = [measured[c.subnet] / c.predicted_ms for c in candidates if c.predicted_ms and c.subnet in measured]
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


def _codes(candidates: Sequence[Candidate]) -> Ints:
    """(N, code_length)"""
    return np.stack([candidate.code for candidate in candidates if candidate.code is not None])


def _below(latency: Range, margin: float) -> Range:
    if latency.high is None:
        return latency
    high = latency.high * (1 - margin)
    return latency if latency.low is not None and high <= latency.low else Range(latency.low, high)


def _inside(latency: Range, milliseconds: float) -> bool:
    return bool(latency.excess(milliseconds) <= 0)
