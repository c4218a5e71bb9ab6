"""What a search can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import InputError, one_of
from vitas_hw.searching.optimizers.base import Evolution
from vitas_hw.searching.optimizers.registry import DEFAULT, named

_AXES = {"latency": "latency_ms", "flops": "macs", "params": "params"}
CHOICES = ("best", "knee")
ACCURACIES = ("supernet", "proxy")
SURE = 0.95  # that the choice meets its latency, where it cannot be measured


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How to search.

    Args:
        optimizer: one of ``OPTIMISERS``.
        evolution: evaluations at most.
        seed: of the optimiser and of fine-tuning.
        confidence: with which the latency predicted shall hold; None is one half where the finalists are measured,
            ``SURE`` where they cannot be.
        pareto: ``latency_ms``, ``macs`` or ``params`` for the whole front of top-1 against it; None for top-1 alone.
        choose: of a front: ``knee`` or ``best``.
        max_time_s: ends evaluating after so many seconds with the best so far.
        targets: further predictors, by name or path, and the latency allowed on each.
        accuracy: what ranks subnets: top-1 with the ``supernet``'s weights, or a training-free ``proxy``.
    """

    optimizer: str = DEFAULT
    evolution: Evolution = field(default_factory=Evolution)
    seed: int = 0
    confidence: float | None = None
    pareto: str | None = None
    choose: str = "best"
    max_time_s: float | None = None
    targets: Mapping[str, Range] = field(default_factory=dict)
    accuracy: str = ACCURACIES[0]

    def __post_init__(self) -> None:
        if self.accuracy not in ACCURACIES:
            raise one_of(self.accuracy, ACCURACIES, "accuracy")

    @property
    def proxy(self) -> bool:
        return self.accuracy == "proxy"

    def confidence_of(self, measured: bool) -> float:
        """The confidence to search with."""
        return self.confidence if self.confidence is not None else 0.5 if measured else SURE

    def to_dict(self) -> dict[str, Any]:
        """What the result depends on, as JSON types."""
        return {
            "optimizer": self.optimizer,
            "population": self.evolution.population,
            "generations": self.evolution.generations,
            "confidence": self.confidence,
            "pareto": self.pareto,
            "choose": self.choose,
            "accuracy": self.accuracy,
        }


def search_settings(
    *,
    optimizer: str | None = None,
    population: int | None = None,
    generations: int | None = None,
    pareto: str | None = None,
    choose: str | None = None,
    **rest: Any,
) -> SearchSettings:
    """Settings from the command line's words; None takes what suits the rest.

    Raises:
        InputError: an unknown word, or words that do not go together.
    """
    against = None if pareto is None else _axis(pareto)
    if choose is not None and choose not in CHOICES:
        raise one_of(choose, CHOICES, "choice")
    if choose == "knee" and against is None:
        raise InputError("--choose knee needs a front.", "Example: vitas-hw search --pareto latency,top1")
    name, evolution = named(optimizer or ("nsga2" if against else DEFAULT), population, generations)
    if against and name != "nsga2":
        raise InputError(f"A front needs NSGA-II, not --optimizer {name}.", "Use --optimizer nsga2 or paper.")
    usual = "knee" if against else "best"
    return SearchSettings(optimizer=name, evolution=evolution, pareto=against, choose=choose or usual, **rest)


def parse_latencies(texts: list[str] | None) -> tuple[str | None, dict[str, Range]]:
    """``["5ms", "OTHER=1ms"]`` is the run's own latency and those of other predictors.

    Raises:
        InputError: two for the same target, or an unreadable one.
    """
    own: str | None = None
    others: dict[str, Range] = {}
    for text in texts or []:
        name, there, words = text.rpartition("=")
        if (not there and own is not None) or name in others:
            raise InputError(f"--latency is given twice for {name or 'the target of the run'}.", "Give it once each.")
        if not there:
            own = text
            continue
        bounds = Budget.parse(latency=words).latency_ms
        if not name or bounds is None:
            raise InputError(f"--latency {text!r} names no predictor.", "Example: --latency PREDICTOR=20ms")
        others[name] = bounds
    return own, others


def _axis(text: str) -> str:
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or "top1" not in words or not set(words) & set(_AXES):
        raise InputError(f"--pareto {text!r} is no pair of axes.", "Write latency,top1 or flops,top1 or params,top1.")
    return _AXES[next(word for word in words if word != "top1")]
