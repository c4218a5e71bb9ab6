"""What a report shows, as plain data: collected by ``collect.py``, drawn by ``page.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitas_hw.core.budget import Range
from vitas_hw.core.published import PublishedResult
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet


@dataclass(frozen=True)
class Figure:
    """A headline: what, how much, and beside what it is to be read. ``good`` is None where nothing was promised."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Point:
    """A subnet that a search evaluated.

    Args:
        number: of the evaluation, from 1.
        subnet: what was evaluated.
        score: top-1 on the search split in [0, 1], or without one the number of parameters.
        predicted_ms, measured_ms: p50; None where it is not known.
        seconds: since the search's first evaluation; None where it was not recorded.
        on_front, chosen: whether it is on the front, whether it is the choice.
    """

    number: int
    subnet: Subnet
    score: float
    predicted_ms: float | None = None
    measured_ms: float | None = None
    seconds: float | None = None
    on_front: bool = False
    chosen: bool = False

    def cost(self, name: str) -> float:
        """``latency_ms`` (predicted), ``macs`` or ``params``."""
        return float((self.predicted_ms or 0.0) if name == "latency_ms" else getattr(self.subnet, name))


@dataclass(frozen=True, kw_only=True)
class TargetLatency:
    """The choice on one target: p50 in milliseconds; ``interval_ms`` covers nine measurements in ten."""

    name: str
    bounds: Range | None
    predicted_ms: float | None = None
    interval_ms: tuple[float, float] | None = None
    measured_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Search:
    """A finished search.

    Args:
        points: in the order of their evaluation.
        choice: one of them.
        cost: on the front's horizontal axis: ``latency_ms``, ``macs`` or ``params``.
        bounds: of the budget on that cost.
        by_top1: whether scores are top-1.
        targets: the choice on each.
        published: models of the literature, for images and classes like these; empty where there are none.
    """

    points: tuple[Point, ...]
    choice: Point
    cost: str
    bounds: Range | None
    by_top1: bool = True
    targets: tuple[TargetLatency, ...] = ()
    published: tuple[PublishedResult, ...] = ()

    @property
    def finalists(self) -> list[Point]:
        """Those that were measured."""
        return [point for point in self.points if point.measured_ms is not None]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A predictor beside the measurements of its profile; N subnets, milliseconds.

    Args:
        target: its slug.
        subnets: (N,) that were measured.
        measured_ms, predicted_ms: (N,).
        held_out: whether each prediction is of a model that had not seen the measurement.
        noise_floor: mean relative difference of two measurements of a subnet; None was not measured.
        scores: MAPE, within 10%, Kendall's tau of the held-out predictions.
        failed: subnets that did not run.
        finalists: of a search on this target: measured after the predictor was fitted.
    """

    target: str
    kind: str
    subnets: tuple[Subnet, ...]
    measured_ms: tuple[float, ...]
    predicted_ms: tuple[float, ...]
    held_out: bool
    noise_floor: float | None
    scores: dict[str, float | None]
    failed: int
    finalists: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Curve:
    """Mean training loss of each epoch."""

    name: str
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Facts:
    """A small table of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the run's manifest; ``command`` is empty where no command of vitas-hw was typed."""

    name: str
    finished: str
    command: str
    settings: str
    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on the page; what a run has not done is empty or None.

    Args:
        name: of the run.
        space: that it searches.
        made: when the page was made, UTC.
        asked: what was asked for.
        figures: what came out.
        warnings: one sentence each.
        subnet: the choice's architecture.
        fits: the search's predictor first.
    """

    name: str
    space: SearchSpace
    made: str
    asked: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    warnings: tuple[str, ...]
    search: Search | None = None
    subnet: Subnet | None = None
    fits: tuple[Fit, ...] = ()
    curves: tuple[Curve, ...] = ()
    machines: tuple[Facts, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def commands(self) -> Sequence[str]:
        """What to type to repeat the run, without what a later step of the same name replaced."""
        typed = [step.command for step in self.steps if step.command]
        return [command for number, command in enumerate(typed) if command not in typed[:number]]
