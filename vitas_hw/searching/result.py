"""What a search found: every candidate, the front, the choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from vitas_hw.core.budget import Budget, show_cost
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.operators import Ints
from vitas_hw.core.reading import MOST_LINES_BYTES, parse_json, read_text
from vitas_hw.core.records import content, from_json, refusing, to_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import P50
from vitas_hw.core.subnet import Subnet
from vitas_hw.searching.scores import Score, paired_errors

SCHEMA = 1
_MANY_TIES = 0.3  # of the candidates
_WRITTEN = (  # of a result and what it derives, in the order of its file
    *(
        "budget",
        "seed",
        "accuracy",
        "evolution",
        "space",
        "inputs",
        "measured_ms",
        "choice",
        "final_top1",
        "final_loss",
    ),
    *("tuned", "front", "targets", "targets_ms", "memory_bytes", "memory_by", "correction", "violations", "rounds"),
    *("ties", "known", "statistic"),
)


@dataclass(frozen=True)
class Candidate:
    """A subnet that a search has asked for.

    Args:
        subnet: which.
        top1: on the search split with the supernet's weights; None where subnets are ranked by their size.
        predicted_ms: latency, if it is predicted.
        layers: the supernet's blocks that it runs on, in a space without identity shifting.
        loss: mean cross-entropy where top-1 is from; None there and in files of versions that ranked by top-1.
        code: its canonical code; in memory only.
        score: the loss with what it is compared by; in memory only.
    """

    DERIVED: ClassVar = ("macs", "params")
    subnet: Subnet
    top1: float | None = None
    predicted_ms: float | None = None
    layers: tuple[int, ...] | None = None
    loss: float | None = None
    code: Ints | None = field(default=None, compare=False, repr=False)
    score: Score | None = field(default=None, compare=False, repr=False)

    @property
    def rank(self) -> float:
        """What candidates are ranked by, the larger the better: the loss with its sign turned; in files that have none
        top-1; without either the number of parameters.
        """
        if self.loss is not None:
            return -self.loss
        return float(self.subnet.params) if self.top1 is None else self.top1

    def with_score(self, score: Score) -> Candidate:
        """The same, evaluated."""
        return replace(self, top1=score.top1, loss=score.loss, score=score)

    def to_dict(self) -> dict[str, Any]:
        costs = {"macs": self.subnet.macs, "params": self.subnet.params}
        layers = {} if self.layers is None else {"layers": list(self.layers)}
        found = {name: value for name in ("top1", "loss") if (value := getattr(self, name)) is not None}
        return {"subnet": self.subnet.to_dict(), **layers, **found, "predicted_ms": self.predicted_ms, **costs}


def candidate_of(space: SearchSpace, code: Ints) -> Candidate:
    """What a canonical code means, not evaluated yet."""
    return Candidate(space.decode(code), layers=None if space.identity_shifting else space.layers(code), code=code)


@dataclass(frozen=True)
class Round:
    """Finalists measured side by side: p50 by digest, and what was predicted when they were chosen.

    Args:
        predicted_ms: by the predictor as it was then.
        measured_ms: on the target.
        violations: digests of those that measured outside the latency budget.
        samples: subnets that the predictor had been fitted to; None where it does not tell.
        correction: factor on its predictions under which these finalists were searched for.
    """

    predicted_ms: dict[str, float]
    measured_ms: dict[str, float]
    violations: tuple[str, ...]
    samples: int | None
    correction: float


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Args:
        budget: what was asked.
        seed: of the search.
        evolution: its settings: optimizer, size, confidence, what the front is against.
        space: name of the space.
        inputs: hashes of supernet and predictor.
        candidates: all that were known or evaluated inside the budget, in order.
        measured_ms: digest to measured p50 of the finalists; empty where the device was not there.
        choice: the best candidate that measured inside the budget.
        final_top1, final_loss: of the choice on the search split after fine-tuning; None before it.
        tuned: by digest, the losses after a short fine-tuning by which the finalists were compared.
        targets: low and high in milliseconds of every further target, by its predictor.
        targets_ms: by further target, digest to measured p50 of the finalists; of those that were here.
        memory_bytes: digest to measured memory of the finalists, if it was asked for.
        memory_by: how that was measured.
        correction: what measured latencies were, in units of predicted ones, when the choice was made.
        rounds: of measurements, in order.
        ties: digests of the candidates within one standard error of the best, which is first; empty in files of
            versions that ranked by top-1.
        known: how many of the candidates, the first, other searches of the run had evaluated.
        statistic: what latencies are, those of the budget too: one of ``STATISTICS``, as the predictor has it.
    """

    DERIVED: ClassVar = ("accuracy", "front", "violations")
    budget: Budget
    seed: int
    evolution: dict[str, Any]
    space: str
    inputs: dict[str, str]
    candidates: tuple[Candidate, ...]
    measured_ms: dict[str, float]
    choice: Candidate
    final_top1: float | None = None
    final_loss: float | None = None
    tuned: dict[str, float] = field(default_factory=dict)
    targets: dict[str, list[float | None]] = field(default_factory=dict)
    targets_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    memory_bytes: dict[str, float] = field(default_factory=dict)
    memory_by: str = ""
    correction: float = 1.0
    rounds: tuple[Round, ...] = ()
    ties: tuple[str, ...] = ()
    known: int = 0
    statistic: str = P50

    @property
    def accuracy(self) -> str:
        """What ranked candidates: the loss with the ``supernet``'s weights, or their number of ``params``."""
        return "params" if self.choice.top1 is None else "supernet"

    @property
    def front(self) -> list[Candidate]:
        """The Pareto front of loss (top-1, size) over the cost searched against, cheapest first.

        That cost is predicted latency (MACs without a predictor) unless another was asked for.
        """
        return pareto_front(self.candidates, self.evolution.get("pareto"))

    def of(self, subnet: Subnet) -> Candidate:
        """The candidate of a subnet; the choice if there is none."""
        return next((one for one in self.candidates if one.subnet == subnet), self.choice)

    @property
    def violations(self) -> list[str]:
        """Digests of the finalists that measured outside the latency budget."""
        bounds = self.budget.latency_ms
        return [digest for digest, ms in self.measured_ms.items() if bounds is not None and bounds.excess(ms) > 0]


def pareto_front(candidates: Sequence[Candidate], cost: str | None = None) -> list[Candidate]:
    """Those that no other candidate beats at no more cost, cheapest first; of equals the first.

    ``cost`` is ``latency_ms``, ``macs`` or ``params``; None is predicted latency, or MACs without a predictor.
    """
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (_cost(c, cost), -c.rank)):
        if not front or candidate.rank > front[-1].rank:
            front.append(candidate)
    return front


def knee_first(candidates: Sequence[Candidate], cost: str | None = None) -> list[Candidate]:
    """The front's knee, the rest of the front by how near they come to being it, and then the others, best first.

    The knee lies farthest above the straight line between the front's cheapest and its best subnet, both
    axes scaled to that line.
    """
    front = pareto_front(candidates, cost)
    costs, scores = np.array([_cost(c, cost) for c in front]), np.array([c.rank for c in front])
    across, up = max(float(np.ptp(costs)), 1e-12), max(float(np.ptp(scores)), 1e-12)
    above = (scores - scores[0]) / up - (costs - costs[0]) / across
    ranked = [front[row] for row in np.argsort(-above, kind="stable")]
    return ranked + [c for c in best_first(candidates) if c not in front]


def best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """By loss (top-1, size), then by cost, then by digest, see ``scores``: the same order on every machine."""
    return sorted(candidates, key=lambda c: (-c.rank, _cost(c), c.subnet.digest))


def errors_of(candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
    """(N,) standard error of each one's difference to the best of N; 0 where subnets have no losses."""
    scores = [one.score for one in candidates if one.score is not None]
    return paired_errors(scores) if scores else np.zeros(len(candidates))


def ties_of(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those within one standard error of their difference to the best, the best of them first; at least the best."""
    ranked = best_first(candidates)
    return [one for one, error in zip(ranked, errors_of(ranked), strict=True) if ranked[0].rank - one.rank <= error]


def ties_words(result: SearchResult) -> str:
    """How many candidates the search part cannot tell from the best, see ``scores``; empty where that is not known."""
    if not result.ties:
        return ""
    count, of = len(result.ties), len({one.subnet for one in result.candidates})
    said = f"{count} of {of} candidates lie within one standard error of the best on the search split"
    if count <= _MANY_TIES * of:
        return f"{said}."
    cheapest = min((one for one in result.candidates if one.subnet.digest in result.ties), key=_cost)
    cost = show_cost(_cost(cheapest), "macs" if cheapest.predicted_ms is None else "latency_ms")
    return (
        f"{said}: its images cannot tell them apart. The lowest loss is taken all the same, as the best guess that the"
        f" budget allows; the cheapest of them, {cheapest.subnet.digest[:8]}, has {cost}: a lower ceiling takes it."
    )


def save_candidates(candidates: Sequence[Candidate], path: Path) -> None:
    """Write one line a candidate; the same seed, supernet and predictor give the same bytes."""
    write_atomic(path, "".join(json.dumps(c.to_dict(), separators=(",", ":")) + "\n" for c in candidates))


def save_result(result: SearchResult, path: Path) -> None:
    """Write everything but the candidates, which have a file of their own."""
    values = {name: getattr(result, name) for name in _WRITTEN}
    front = [candidate.subnet.digest for candidate in result.front]
    data = {"schema": SCHEMA, "kind": "search", **values, "front": front}
    write_atomic(path, json.dumps(to_json(data), indent=1) + "\n")


def load_result(path: Path, candidates_path: Path) -> SearchResult:
    """Read a search's two files. Raises FileError if one is missing, broken or of another schema."""
    with refusing(path, "is not a search result", step="search"):
        data = content(parse_json(read_text(path, "the search result")), SCHEMA, "search")
        if data.get("accuracy") == "proxy":
            raise FileError(f"{path} is of a search by the training-free proxy, which is gone.")
        lines = read_text(candidates_path, "the candidates", most=MOST_LINES_BYTES).splitlines()
        rows = [parse_json(line) for line in lines]
        found: SearchResult = from_json(SearchResult, data | {"candidates": rows})
        if "final_top1" not in data or not all("predicted_ms" in row for row in (data["choice"], *rows)):
            raise InputError("Its final_top1 or a candidate's predicted_ms is missing; null says that there is none.")
        _check_settings(found.evolution)
        for one in (found.choice, *found.candidates):
            if (one.top1 is None) != (data.get("accuracy") == "params"):
                raise InputError(f"Subnet {one.subnet.digest} lacks its top-1, or has one where only sizes count.")
        return found


def _check_settings(evolution: dict[str, Any]) -> None:
    """Raises KeyError or InputError unless the settings that are shown have the form they should have."""
    from_json(str, evolution["optimizer"], "optimizer")
    from_json(float | None, evolution.get("confidence"), "confidence")
    if evolution.get("pareto") is not None:
        from_json(Literal["latency_ms", "macs", "params"], evolution["pareto"], "pareto")
    from_json(str | None, evolution.get("choose"), "choose")


def _cost(candidate: Candidate, cost: str | None = None) -> float:
    if cost in ("macs", "params"):
        return float(getattr(candidate.subnet, cost))
    return candidate.predicted_ms if candidate.predicted_ms is not None else float(candidate.subnet.macs)
