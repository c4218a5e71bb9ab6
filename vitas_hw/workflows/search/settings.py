"""Search settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from vitas_hw.core.budget import Range, parse_range
from vitas_hw.core.deadline import TimeAllowed
from vitas_hw.core.errors import InputError, one_of, shown
from vitas_hw.core.settings import setting, settings, what_decides
from vitas_hw.searching.optimizers.registry import DEFAULT, GENERATIONS, OF_FRONTS, OPTIMIZERS, POPULATION, PRESETS
from vitas_hw.training.recipe import Runtime

_METHOD, _WHERE = "Method", "Device and time"
_AXES = {"latency": "latency_ms", "flops": "macs", "params": "params"}
_ACCURACIES = ("supernet", "params")
_SURE = 0.95  # that the choice meets its latency, where it cannot be measured


def axis(text: str) -> str:
    """The cost of a front's two axes: ``latency,top1`` is ``latency_ms``."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 2 or "top1" not in words or not set(words) & set(_AXES):
        hint = "Write latency,top1 or flops,top1 or params,top1."
        raise InputError(f"`pareto` {shown(text)} is no pair of axes.", hint, field="pareto", value=text)
    return _AXES[next(word for word in words if word != "top1")]


@settings
class SearchSettings:
    """How to search; None takes what suits the rest, and is no longer there once the settings are made.

    Args:
        optimizer: one of ``OPTIMIZERS``, or of ``PRESETS`` with its population and generations.
        population, generations: their product is how many subnets are evaluated at most.
        confidence: with which the latency predicted shall hold; None stays: see ``confidence_of``.
        pareto: ``latency_ms``, ``macs`` or ``params`` for the whole front of top-1 against it; None for top-1 alone.
        choose: of a front.
        accuracy: what ranks subnets: top-1 with the ``supernet``'s weights, or their number of ``params``, which needs
            nothing trained.
        seed: of the optimizer and of fine-tuning.
        targets: further predictors, by name or path, and the latency allowed on each.
        device, threads: that evaluate and fine-tune. Latency is measured on the predictor's target.
        ray, ray_gpus: address of a Ray cluster that evaluates instead, and its workers' GPUs, see ``RayPool``.
        max_time_s: see ``TimeAllowed``; it ends with the best so far, and the same search goes on.

    Raises:
        InputError: values that do not go together.
    """

    optimizer: str = setting(
        default=None,
        help="surrogate (default), nsga2, regularized-evolution, random; paper: nsga2, 50 x 40.",
        group=_METHOD,
        choices=(*OPTIMIZERS, *PRESETS),
    )
    population: int = setting(
        default=None, help=f"Subnets per generation. Default: {POPULATION}.", group=_METHOD, at_least=2
    )
    generations: int = setting(default=None, help=f"Generations. Default: {GENERATIONS}.", group=_METHOD, at_least=1)
    confidence: float | None = setting(
        default=None,
        help=f"Probability that a subnet meets the latency. Default: 0.5; {_SURE} if none is measured.",
        group=_METHOD,
        at_least=0.5,
        below=1,
    )
    pareto: str | None = setting(
        default=None,
        help="Find a Pareto front: latency,top1, flops,top1 or params,top1.",
        group=_METHOD,
        choices=tuple(_AXES.values()),
        reads=axis,
    )
    choose: str = setting(
        default=None,
        help="What to choose of a Pareto front: knee (default) or best.",
        group=_METHOD,
        choices=("knee", "best"),
    )
    accuracy: str = setting(
        default="supernet", help="Rank by supernet accuracy, or by params (needs no training).", group=_METHOD
    )
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)
    targets: Mapping[str, Range] = field(default_factory=dict)
    device: str = setting(default="auto", like=Runtime)
    threads: int | None = setting(default=None, like=Runtime)
    ray: str | None = setting(
        default=None, help="Evaluate on a Ray cluster: auto, or its address.", group=_WHERE, runs=True
    )
    ray_gpus: float | None = setting(
        default=None, help="GPUs per Ray worker: 1, 0.25; 0 for CPUs.", group=_WHERE, at_least=0, runs=True
    )
    max_time_s: float | None = setting(default=None, like=TimeAllowed)

    def __post_init__(self) -> None:
        if self.accuracy == "proxy":
            raise InputError(
                "The training-free proxy is gone:"
                " it orders trained subnets worse than their number of parameters does.",
                "Use `accuracy=params`.",
                field="accuracy",
                value=self.accuracy,
            )
        if self.accuracy not in _ACCURACIES:
            raise one_of(self.accuracy, _ACCURACIES, "accuracy")
        if self.ray is not None and not self.by_top1:
            raise InputError("`accuracy=params` leaves no work for a cluster.", "Leave out `ray`.", field="ray")
        if self.ray is None and self.ray_gpus is not None:
            raise InputError("`ray_gpus` needs a cluster.", "Add `ray=auto`", field="ray_gpus")
        if self.ray_gpus is not None and self.ray_gpus > 1 and not float(self.ray_gpus).is_integer():
            problem = f"A worker has a share of a GPU or whole ones, not {self.ray_gpus:g}."
            raise InputError(problem, "Try `ray_gpus=0.5`, 1 or 0.", field="ray_gpus")
        if self.choose == "knee" and self.pareto is None:
            raise InputError("`choose=knee` needs a front.", "Example: `pareto=latency,top1`", field="choose")
        usual = (self.optimizer or DEFAULT, POPULATION, GENERATIONS)
        optimizer, population, generations = PRESETS.get(self.optimizer, usual)
        if self.pareto and optimizer not in OF_FRONTS:
            raise InputError(
                f"A front needs the surrogate or NSGA-II, not `optimizer={optimizer}`.",
                "Use `optimizer=surrogate`, `optimizer=nsga2` or `optimizer=paper`.",
                field="optimizer",
                value=optimizer,
            )
        filled = {
            "optimizer": optimizer,
            "population": self.population or population,
            "generations": self.generations or generations,
            "choose": self.choose or ("knee" if self.pareto else "best"),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)  # frozen from here on

    @property
    def by_top1(self) -> bool:
        """Whether subnets are ranked by top-1 with a supernet's weights."""
        return self.accuracy == "supernet"

    @property
    def evaluations(self) -> int:
        """Of the whole search split, at most."""
        return self.population * self.generations

    def confidence_of(self, measured: bool) -> float:
        """The confidence to search with: one half where finalists are measured, much more where they cannot be."""
        return self.confidence if self.confidence is not None else 0.5 if measured else _SURE

    def to_dict(self) -> dict[str, Any]:
        """What the result depends on besides the seed and further targets, as JSON types."""
        return {name: value for name, value in what_decides(self).items() if name not in ("seed", "targets")}


def parse_latencies(texts: list[str] | None) -> tuple[str | None, dict[str, Range]]:
    """``["5ms", "OTHER=1ms"]`` is the run's own latency and those of other predictors.

    Raises:
        InputError: two for the same target, or an unreadable one.
    """
    found: dict[str, str] = {}
    for text in texts or []:
        name, _, words = text.rpartition("=")
        if name in found:
            whose = name or "the target of the run"
            raise InputError(f"`latency` is given twice for {whose}.", "Give it once each.", field="latency")
        found[name] = words if name else text
    own = found.pop("", None)
    return own, {name: parse_range(words, "latency_ms") for name, words in found.items()}
