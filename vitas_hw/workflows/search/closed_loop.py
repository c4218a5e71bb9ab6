"""Searching, measuring the finalists, and searching on with what the measurements taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vitas_hw.core.budget import Budget, show_cost
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.depths import Shares
from vitas_hw.core.errors import VitasError
from vitas_hw.core.operators import Ints, SubnetColumns
from vitas_hw.core.progress import Progress
from vitas_hw.core.statistic import P50
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.searching.admission import Admission
from vitas_hw.searching.choosing import FINALISTS, Measure, Timed, choose_measured, inside
from vitas_hw.searching.costs import Costs, Limit
from vitas_hw.searching.engine import Evaluations, explore
from vitas_hw.searching.optimizers.registry import make_optimizer
from vitas_hw.searching.result import Candidate, Round, SearchResult, best_first, candidate_of, knee_first, ties_of
from vitas_hw.workflows.search.settings import SearchSettings

Refit = Callable[[Mapping[Subnet, float]], Predictor]  # p50 in milliseconds of subnets that were measured
_CONTINUATIONS = 2  # of a search whose finalists all measured outside
_EXTRA = 1 / 3  # of the evaluations, for each
OWN = ""  # the target that the search's predictor is of
MEMORY = " memory"  # there


@dataclass
class ClosedLoop:
    """One search.

    Args:
        costs: of the space's codes; after a miss, by the predictor fitted anew.
        budget: what the choice must keep.
        evaluations: scores of candidates, and what earlier searches have evaluated.
        settings: how to search.
        progress: where to report to.
        measures: by target (``OWN``, or the name of a further one), subnets to p50 in milliseconds; a target that is
            missing is predicted. ``MEMORY`` is subnets to bytes.
        margin: see ``Timed``, of the own target.
        refit: a predictor that knows what was measured; None leaves the predictor as it is and only scales it.
        depths: see ``Admission``.
        first: how many of the archive's evaluations the search's draws know; what was added since may be chosen.
        earlier_ms: by target, see ``Timed``.
        deadline: ends it with the best so far, measured if there was time for that.
        evaluating: share of the time that the evaluations before the first measurement may take.
        cut: whether the time ended it; set by ``run``.
    """

    costs: Costs
    budget: Budget
    evaluations: Evaluations
    settings: SearchSettings
    progress: Progress
    measures: Mapping[str, Measure] = field(default_factory=dict)
    margin: float = 0.0
    refit: Refit | None = None
    depths: Shares | None = None
    first: int | None = None
    earlier_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    deadline: Deadline = field(default_factory=Deadline)
    evaluating: float = 1.0
    cut: bool = field(default=False, init=False)
    _rounds: list[Round] = field(default_factory=list, init=False)
    _of_others: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        limits = {OWN: Limit("latency_ms", self.budget.latency_ms)} if self.budget.latency_ms else {}
        limits |= {other.target: other for other in self.costs.others}
        limits |= {MEMORY: Limit("memory_bytes", self.budget.memory_bytes)} if self.budget.memory_bytes else {}
        self.timed = {
            name: Timed(
                limits[name].bounds if name in limits else None,
                self._take_own if name == OWN and name in self.measures else self.measures.get(name),
                lambda subnets, name=name: self._predict(name, subnets),  # type: ignore[misc]
                self.margin if name == OWN else 0.0,
                self.earlier_ms.get(name, {}),
                "memory_bytes" if name == MEMORY else "latency_ms",
            )
            for name in {**limits, **self.measures}
        }

    @property
    def measured(self) -> dict[Subnet, float]:
        """On the search's own target."""
        return self.timed[OWN].measured if OWN in self.timed else {}

    @property
    def _memory(self) -> dict[Subnet, float]:
        return self.timed[MEMORY].measured if MEMORY in self.timed else {}

    def run(self) -> SearchResult:
        """Search; measure; while nothing measures inside, search on under what was learned, a few times.

        Raises:
            InfeasibleBudgetError: no subnet fits.
            VitasError: nothing measured inside in the end.
            TimeIsUpError: nothing was measured, and by earlier measurements nothing lies inside.
        """
        candidates, choice = self._first(), None
        if not self.measures:
            return self._result(candidates, self._order(candidates)[0])
        try:
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
            choice = choice or self._choose(candidates, patient=True)
        except TimeIsUpError:
            choice = next(iter(self.may_be_taken(self._order(candidates))), None)
            self.progress.note(
                "time is up before a finalist measured within the budget: the choice is made by prediction"
            )
        self.cut = self.cut or self.deadline.over()
        if choice is None:
            raise self._missed()
        return self._result(candidates, choice)

    def finalists(self, result: SearchResult) -> list[Candidate]:
        """The choice, and the best of those that lie inside as surely as it does: five in all, the best first."""
        found = self._order(result.candidates)
        if self.measures:
            found = [one for one in found if inside(one, list(self.timed.values())) and self._is_measured(one)]
        found = list({one.subnet: one for one in found if one.subnet != result.choice.subnet}.values())
        return self._order([result.choice, *found[: FINALISTS - 1]])

    def may_be_taken(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that lie inside, by what was measured now or earlier, else by the prediction."""
        subnets = [one.subnet for one in candidates]
        inside = [True] * len(candidates)
        for target in self.timed.values():
            expected = target.promising(subnets)
            for place, subnet in enumerate(subnets):
                inside[place] &= target.keeps(subnet) if subnet in target.measured else expected[place]
        return [one for one, is_inside in zip(candidates, inside, strict=True) if is_inside]

    def _is_measured(self, candidate: Candidate) -> bool:
        return all(candidate.subnet in self.timed[name].measured for name in self.measures)

    def _missed(self) -> VitasError:
        missed = ((name, one) for name, one in self.timed.items() if one.bounds is not None and one.measured)
        name, target = next(missed, (OWN, None))
        if target is None:
            return TimeIsUpError("a finalist was measured")
        assert target.bounds is not None
        nearest = min(target.measured.values(), key=target.bounds.excess)
        of = f" on {name}" if name not in (OWN, MEMORY) else ""
        return VitasError(
            f"None of the {len(target.measured)} finalists measured inside the budget; the nearest took"
            f" {show_cost(nearest, target.cost)}{of}.",
            "Is the machine busy? Try again, profile anew with `fresh`, or give a wider `latency`.",
        )

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
            targets_ms={
                name: {subnet.digest: ms for subnet, ms in one.measured.items()}
                for name, one in self.timed.items()
                if name not in (OWN, MEMORY) and one.measured
            },
            memory_bytes={subnet.digest: found for subnet, found in self._memory.items()},
            correction=self._correction(),
            rounds=tuple(self._rounds),
            ties=tuple(one.subnet.digest for one in ties_of(candidates)) if self.settings.by_top1 else (),
            known=self._of_others,
            statistic=getattr(self.costs.predictor, "statistic", P50),
        )

    def _correction(self) -> float:
        return self.timed[OWN].correction() if OWN in self.timed else 1.0

    def _order(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if self.settings.choose == "knee":
            return knee_first(candidates, self.settings.pareto)
        return best_first(candidates)

    def _choose(self, candidates: Sequence[Candidate], *, patient: bool = False) -> Candidate | None:
        return choose_measured(candidates, list(self.timed.values()), order=self._order, patient=patient)

    def _predict(self, name: str, subnets: Sequence[Subnet]) -> Sequence[float | None]:
        if not subnets:
            return []
        columns = SubnetColumns.of(subnets)
        if name == OWN:
            return self.costs.predicted_ms(columns)
        if name == MEMORY:
            return [] if self.costs.memory is None else self.costs.memory.bytes_of(columns).tolist()
        other = next((one for one in self.costs.others if one.target == name), None)
        return [None] * len(subnets) if other is None else other.predicted_ms(columns)

    def _take_own(self, subnets: Sequence[Subnet]) -> list[float]:
        """Measure on the own target, and keep what was predicted beside it."""
        found = [float(ms) for ms in self.measures[OWN](subnets)]
        digests, latency = [subnet.digest for subnet in subnets], self.budget.latency_ms
        predicted = zip(digests, self._predict(OWN, subnets), strict=True)
        measured = dict(zip(digests, found, strict=True))
        self._rounds.append(
            Round(
                predicted_ms={digest: ms for digest, ms in predicted if ms is not None},
                measured_ms=measured,
                violations=tuple(d for d, ms in measured.items() if latency is not None and latency.excess(ms) > 0),
                samples=getattr(self.costs.predictor, "samples", None),
                correction=self.costs.correction,
            )
        )
        return found

    def _first(self) -> list[Candidate]:
        settings = self.settings
        found = [] if settings.by_top1 else [self._largest()]
        known = self._admitted(self._known(self.first)) if settings.by_top1 else found
        self.evaluations.costs_nothing(known)
        admission = Admission(
            self.costs,
            self.budget,
            depths=self.depths,
            near=settings.pareto is None,
            seen=_codes(known) if known else None,
        )
        optimizer = make_optimizer(
            settings.optimizer,
            admission,
            population=settings.population,
            generations=settings.generations,
            seed=settings.seed,
            against=settings.pareto,
            levels=len(self.evaluations.shares),
        )
        if known and settings.by_top1:
            optimizer.learn(_codes(known), _ranks(known))
            self.progress.note(f"{len(known)} subnets inside the budget are known from earlier searches")
        limit, until = settings.evaluations, self.deadline.part(self.evaluating)
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
                time_is_up=until.over,
            )
        if until.over():
            self.cut = True
            self.progress.note(f"time is up after {self.evaluations.spent:.0f} of {limit} evaluations: the best so far")
        return self._with_earlier(found) if settings.by_top1 else found

    def _known(self, first: int | None = None) -> list[Candidate]:
        return self.evaluations.known(self.costs, first)

    def _admitted(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        if not candidates:
            return []
        excess = self.costs.excess(_codes(candidates), self.budget)
        return [one for one, outside in zip(candidates, excess, strict=True) if outside <= 0]

    def _with_earlier(self, found: Sequence[Candidate]) -> list[Candidate]:
        """What other searches have evaluated and this one may choose too, before what it has evaluated itself."""
        own = {(one.subnet, one.layers) for one in found}
        earlier = [one for one in self._known() if (one.subnet, one.layers) not in own]
        unbound = replace(self.budget, latency_ms=None)
        timed = self.timed.get(OWN)

        def inside_by_measurement(one: Candidate) -> bool:
            if timed is None or timed.bounds is None or one.subnet.digest not in timed.earlier:
                return False
            return timed.promising([one.subnet])[0] and bool(self.costs.excess(_codes([one]), unbound)[0] <= 0)

        admitted = {(one.subnet, one.layers) for one in self._admitted(earlier)}
        taken = [one for one in earlier if (one.subnet, one.layers) in admitted or inside_by_measurement(one)]
        self._of_others = len(taken)
        return taken + list(found)

    def _largest(self) -> Candidate:
        """What a ranking by size has first: known without a search."""
        code = self.costs.largest_inside(self.budget)
        (predicted,) = self.costs.predicted_ms(self.costs.space.columns(code[None]))
        return replace(candidate_of(self.costs.space, code), predicted_ms=predicted)

    def _learn(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Costs by a predictor that was fitted to the misses too, and the candidates with its predictions."""
        fitted = ""
        if self.refit is not None and self.measured:
            predictor = self.refit(self.measured)
            fitted = f"the predictor is fitted anew to {predictor.samples} subnets, and "
            self.costs = replace(self.costs, predictor=predictor, correction=1.0)
            predicted = self.costs.predicted_ms(SubnetColumns.of([candidate.subnet for candidate in candidates]))
            candidates = [replace(c, predicted_ms=ms) for c, ms in zip(candidates, predicted, strict=True)]
        correction = self._correction()  # what the fit leaves over, or all of it
        others = tuple(replace(other, correction=self.timed[other.target].correction()) for other in self.costs.others)
        memory = self.timed[MEMORY].correction() if MEMORY in self.timed else 1.0
        self.costs = replace(self.costs, correction=correction, others=others, memory_correction=memory)
        beyond = "".join(f", {other.correction:.3f} times on {other.target}" for other in others)
        beyond += f", memory {memory:.3f} times the estimated one" if MEMORY in self.timed else ""
        self.progress.note(
            f"no finalist measured within the budget: {fitted}latency is {correction:.3f} times the predicted one"
            f" here{beyond}; the search continues with that"
        )
        return list(candidates)

    def _more(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """New candidates that the new prediction lets expect inside the budget, found from the archive."""
        codes = _codes(candidates)
        admission = Admission(
            self.costs, self.budget, depths=self.depths, near=self.settings.pareto is None, seen=codes
        )
        optimizer = make_optimizer(
            "surrogate",
            admission,
            population=self.settings.population,
            seed=self.settings.seed + 1,
            against=self.settings.pareto,
        )
        optimizer.learn(codes, _ranks(candidates))
        limit = self.evaluations.spent + max(1, round(self.settings.evaluations * _EXTRA))
        return explore(optimizer, self.evaluations, self.costs, limit, time_is_up=self.deadline.over)


def _codes(candidates: Sequence[Candidate]) -> Ints:
    """(N, code_length)"""
    return np.stack([candidate.code for candidate in candidates if candidate.code is not None])


def _ranks(candidates: Sequence[Candidate]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([candidate.rank for candidate in candidates])
