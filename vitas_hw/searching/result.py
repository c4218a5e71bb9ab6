"""What a search found: every candidate, the front, the choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.subnet import Subnet

SCHEMA = 1


@dataclass(frozen=True)
class Candidate:
    """An evaluated subnet: top-1 on the search split with the supernet's weights; predicted latency if known.

    ``layers`` are the supernet's blocks that it ran on, in a space without identity shifting.
    """

    subnet: Subnet
    top1: float
    predicted_ms: float | None
    layers: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        costs = {"macs": self.subnet.macs, "params": self.subnet.params}
        layers = {} if self.layers is None else {"layers": list(self.layers)}
        return {
            "subnet": self.subnet.to_dict(),
            **layers,
            "top1": self.top1,
            "predicted_ms": self.predicted_ms,
            **costs,
        }


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

    @property
    def front(self) -> list[Candidate]:
        """The Pareto front of top-1 over the cost searched against, cheapest first.

        That cost is predicted latency (MACs without a predictor) unless another was asked for.
        """
        return pareto_front(self.candidates, self.evolution.get("pareto"))

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
    }
    write_atomic(path, json.dumps(data, indent=1) + "\n")


def load_result(path: Path, candidates_path: Path) -> SearchResult:
    """Read a search's two files. Raises FileError if one is missing, broken or of another schema."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lines = candidates_path.read_text(encoding="utf-8").splitlines()
        if (data["schema"], data["kind"]) != (SCHEMA, "search"):
            raise FileError(f"{path} is no search result of schema {SCHEMA}.")
        return SearchResult(
            budget=Budget.from_dict(data["budget"]),
            seed=data["seed"],
            evolution=data["evolution"],
            space=data["space"],
            inputs=data["inputs"],
            candidates=tuple(_candidate(json.loads(line)) for line in lines),
            measured_ms=data["measured_ms"],
            choice=_candidate(data["choice"]),
            final_top1=data["final_top1"],
            targets=data.get("targets", {}),
            correction=data.get("correction", 1.0),
        )
    except OSError as error:
        raise FileError(f"Cannot read the search result {path}: {error.strerror}.", "Run: vitas-hw search") from error
    except FileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise FileError(f"{path} is not a search result: {type(error).__name__}: {error}.") from error


def _candidate(data: dict[str, Any]) -> Candidate:
    layers = tuple(data["layers"]) if "layers" in data else None
    return Candidate(Subnet.from_dict(data["subnet"]), data["top1"], data["predicted_ms"], layers)


def _cost(candidate: Candidate, cost: str | None = None) -> float:
    if cost in ("macs", "params"):
        return float(getattr(candidate.subnet, cost))
    return candidate.predicted_ms if candidate.predicted_ms is not None else float(candidate.subnet.macs)
