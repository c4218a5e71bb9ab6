"""What a search found: every candidate, the front, the choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.files import write_atomic
from vitas_hw.core.reading import MOST_LINES_BYTES, parse_json, read_text, reason
from vitas_hw.core.subnet import Subnet

SCHEMA = 1
PROXY_SCORE = "proxy_score"  # its name in files
_NEXT = "Run: vitas-hw search"


@dataclass(frozen=True)
class Candidate:
    """An evaluated subnet: top-1 on the search split with the supernet's weights; predicted latency if known.

    ``layers`` are the supernet's blocks that it ran on, in a space without identity shifting. With ``proxy``, ``top1``
    is no accuracy but the training-free score that stands for it, and files say so.
    """

    subnet: Subnet
    top1: float
    predicted_ms: float | None
    layers: tuple[int, ...] | None = None
    proxy: bool = False

    def to_dict(self) -> dict[str, Any]:
        costs = {"macs": self.subnet.macs, "params": self.subnet.params}
        layers = {} if self.layers is None else {"layers": list(self.layers)}
        return {
            "subnet": self.subnet.to_dict(),
            **layers,
            PROXY_SCORE if self.proxy else "top1": self.top1,
            "predicted_ms": self.predicted_ms,
            **costs,
        }


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

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Round:
        return cls(**{**data, "violations": tuple(data["violations"])})


@dataclass(frozen=True)
class SearchResult:
    """A finished search.

    Args:
        budget: what was asked.
        seed: of the evolution.
        evolution: its settings: optimizer, size, confidence, what the front is against.
        space: name of the space.
        inputs: hashes of supernet and predictor.
        candidates: all evaluated subnets, in order.
        measured_ms: digest to measured p50 of the finalists; empty where the device was not there.
        choice: the best candidate that measured inside the budget.
        final_top1: of the choice on the search split after fine-tuning; None before it.
        targets: low and high in milliseconds of every further target, by its predictor.
        correction: what measured latencies were, in units of predicted ones, when the choice was made.
        rounds: of measurements, in order.
    """

    budget: Budget
    seed: int
    evolution: dict[str, Any]
    space: str
    inputs: dict[str, str]
    candidates: tuple[Candidate, ...]
    measured_ms: dict[str, float]
    choice: Candidate
    final_top1: float | None = None
    targets: dict[str, list[float | None]] = field(default_factory=dict)
    correction: float = 1.0
    rounds: tuple[Round, ...] = ()

    @property
    def accuracy(self) -> str:
        """What candidates were ranked by: ``supernet`` or ``proxy``."""
        return "proxy" if self.choice.proxy else "supernet"

    @property
    def front(self) -> list[Candidate]:
        """The Pareto front of top-1 over the cost searched against, cheapest first.

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
    """Those that no other candidate beats in top-1 at no more cost, cheapest first; of equals the first.

    ``cost`` is ``latency_ms``, ``macs`` or ``params``; None is predicted latency, or MACs without a predictor.
    """
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (_cost(c, cost), -c.top1)):
        if not front or candidate.top1 > front[-1].top1:
            front.append(candidate)
    return front


def knee_first(candidates: Sequence[Candidate], cost: str | None = None) -> list[Candidate]:
    """The front's knee, the rest of the front by how near they come to being it, and then the others, best first.

    The knee lies farthest above the straight line between the front's cheapest and its most accurate subnet, both
    axes scaled to that line.
    """
    front = pareto_front(candidates, cost)
    costs, top1 = np.array([_cost(c, cost) for c in front]), np.array([c.top1 for c in front])
    across, up = max(float(np.ptp(costs)), 1e-12), max(float(np.ptp(top1)), 1e-12)
    above = (top1 - top1[0]) / up - (costs - costs[0]) / across
    ranked = [front[row] for row in np.argsort(-above, kind="stable")]
    return ranked + [c for c in best_first(candidates) if c not in front]


def best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """By top-1, then by cost, then by digest: the same order on every machine."""
    return sorted(candidates, key=lambda c: (-c.top1, _cost(c), c.subnet.digest))


def save_candidates(candidates: Sequence[Candidate], path: Path) -> None:
    """Write one line a candidate; the same seed, supernet and predictor give the same bytes."""
    write_atomic(path, "".join(json.dumps(c.to_dict(), separators=(",", ":")) + "\n" for c in candidates))


def save_result(result: SearchResult, path: Path) -> None:
    """Write everything but the candidates, which have a file of their own."""
    data = {
        "schema": SCHEMA,
        "kind": "search",
        "budget": result.budget.to_dict(),
        "seed": result.seed,
        "accuracy": result.accuracy,
        "evolution": result.evolution,
        "space": result.space,
        "inputs": result.inputs,
        "measured_ms": result.measured_ms,
        "choice": result.choice.to_dict(),
        "final_top1": result.final_top1,
        "front": [candidate.subnet.digest for candidate in result.front],
        "targets": result.targets,
        "correction": result.correction,
        "violations": result.violations,
        "rounds": [asdict(one) for one in result.rounds],
    }
    write_atomic(path, json.dumps(data, indent=1) + "\n")


def load_result(path: Path, candidates_path: Path) -> SearchResult:
    """Read a search's two files. Raises FileError if one is missing, broken or of another schema."""
    try:
        data = parse_json(read_text(path, "the search result", hint=_NEXT))
        lines = read_text(candidates_path, "the candidates", most=MOST_LINES_BYTES, hint=_NEXT).splitlines()
        if (data["schema"], data["kind"]) != (SCHEMA, "search"):
            raise FileError(f"{path} is no search result of schema {SCHEMA}.")
        return SearchResult(
            budget=Budget.from_dict(data["budget"]),
            seed=int(data["seed"]),
            evolution=_dict(data["evolution"]),
            space=str(data["space"]),
            inputs=_dict(data["inputs"]),
            candidates=tuple(_candidate(parse_json(line)) for line in lines),
            measured_ms={str(digest): float(ms) for digest, ms in data["measured_ms"].items()},
            choice=_candidate(data["choice"]),
            final_top1=_number(data["final_top1"]),
            targets=_dict(data.get("targets", {})),
            correction=float(data.get("correction", 1.0)),
            rounds=tuple(Round.from_dict(one) for one in data.get("rounds", [])),
        )
    except FileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, InputError) as error:
        raise FileError(f"{path} is not a search result: {type(error).__name__}: {reason(error)}.", _NEXT) from error


def _candidate(data: dict[str, Any]) -> Candidate:
    layers = tuple(int(layer) for layer in data["layers"]) if "layers" in data else None
    proxy = PROXY_SCORE in data
    score = float(data[PROXY_SCORE if proxy else "top1"])
    return Candidate(Subnet.from_dict(data["subnet"]), score, _number(data["predicted_ms"]), layers, proxy)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is no object")
    return value


def _cost(candidate: Candidate, cost: str | None = None) -> float:
    if cost in ("macs", "params"):
        return float(getattr(candidate.subnet, cost))
    return candidate.predicted_ms if candidate.predicted_ms is not None else float(candidate.subnet.macs)
