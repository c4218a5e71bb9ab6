"""A run's search, for its report."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.budget import Budget, Range, show_cost
from vitas_hw.core.errors import InputError
from vitas_hw.core.published import PublishedResult, published_results
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import evaluation_times
from vitas_hw.searching.result import Candidate, SearchResult


@dataclass(frozen=True, kw_only=True)
class Point:
    """A subnet that a search evaluated.

    Args:
        number: of the evaluation, from 1.
        subnet: what was evaluated.
        score: what ranked it: its loss on the search split (in older files top-1), or the number of parameters.
        top1: on the search split in [0, 1]; None where subnets were ranked by their size.
        tuned: the loss after fine-tuning, of the choice at its end, of other finalists a short one; None without.
        predicted_ms, measured_ms: p50; None where it is not known.
        seconds: since the search's first evaluation; None where it was not recorded.
        on_front, chosen: whether it is on the front, whether it is the choice.
    """

    number: int
    subnet: Subnet
    score: float
    top1: float | None
    tuned: float | None
    predicted_ms: float | None
    measured_ms: float | None
    seconds: float | None
    on_front: bool
    chosen: bool

    def cost(self, name: str) -> float:
        """``latency_ms`` (predicted), ``macs`` or ``params``."""
        return float((self.predicted_ms or 0.0) if name == "latency_ms" else getattr(self.subnet, name))


@dataclass(frozen=True, kw_only=True)
class Search:
    """A finished search.

    Args:
        points: in the order of their evaluation, those that earlier searches had evaluated first.
        known: how many those are.
        cost: on the front's horizontal axis: ``latency_ms``, ``macs`` or ``params``.
        bounds: of the budget on that cost.
        ranked_by: what scores are: ``loss``, ``top-1`` or ``size``.
        targets: of each target, in words: name, budget, predicted p50 of the choice, the interval that covers nine
            measurements in ten, measured p50, whether it is inside.
        published: models of the literature, for images and classes like these; empty where there are none.
    """

    points: tuple[Point, ...]
    known: int
    cost: str
    bounds: Range | None
    ranked_by: str
    targets: tuple[tuple[str, ...], ...]
    published: tuple[PublishedResult, ...]

    def better(self, point: Point, than: Point) -> bool:
        """Whether a point has the better score."""
        return point.score < than.score if self.ranked_by == "loss" else point.score > than.score

    @property
    def finalists(self) -> list[Point]:
        """Those that were measured."""
        return [point for point in self.points if point.measured_ms is not None]

    @property
    def tuned(self) -> bool:
        """Whether finalists were fine-tuned, and the choice made by what that came to."""
        return any(point.tuned is not None for point in self.points)


def search_shown(
    run: Run, space: SearchSpace, result: SearchResult, predictor: Predictor | None, *, tuned: bool
) -> Search:
    """The last search of the run, which took this predictor, as the page shows it; ``tuned``: it fine-tuned."""
    timed = result.choice.predicted_ms is not None
    cost = result.evolution.get("pareto") or ("latency_ms" if timed else "macs")
    return Search(
        points=_points(run, result, tuned and result.choice.loss is not None),
        known=result.known,
        cost=cost,
        bounds=result.budget.asked.get(cost),
        ranked_by=_ranked_by(result.choice),
        targets=_targets(result, predictor if timed else None),
        published=_published(space) if result.accuracy == "supernet" else (),
    )


def ms(value: float | None) -> str:
    """A latency in words; a dash for None."""
    return "-" if value is None else show_cost(value, "latency_ms")


def _ranked_by(candidate: Candidate) -> str:
    return "size" if candidate.top1 is None else "top-1" if candidate.loss is None else "loss"


def _points(run: Run, result: SearchResult, tuned: bool) -> tuple[Point, ...]:
    when = evaluation_times(run.evaluations) if result.accuracy == "supernet" else {}
    keys = [(candidate.subnet.digest, candidate.layers) for candidate in result.candidates]
    own = keys[result.known :]
    start = min((when[key] for key in own if key in when), default=0.0)
    front = {(candidate.subnet.digest, candidate.layers) for candidate in result.front}
    choice = (result.choice.subnet.digest, result.choice.layers)
    losses = {**result.tuned, choice[0]: result.final_loss} if tuned else {}
    return tuple(
        Point(
            number=number,
            subnet=candidate.subnet,
            score=abs(candidate.rank),
            top1=candidate.top1,
            tuned=losses.get(candidate.subnet.digest),
            predicted_ms=candidate.predicted_ms,
            measured_ms=result.measured_ms.get(candidate.subnet.digest),
            seconds=when[key] - start if key in when and number > result.known else None,
            on_front=key in front,
            chosen=key == choice,
        )
        for number, (candidate, key) in enumerate(zip(result.candidates, keys, strict=True), 1)
    )


def _targets(result: SearchResult, own: Predictor | None) -> tuple[tuple[str, ...], ...]:
    """The search's own target, and every further one that it was asked to fit."""
    subnet, found = result.choice.subnet, []
    if own is not None:
        measured = result.measured_ms.get(subnet.digest)
        found.append(_target(own, subnet, result.budget.latency_ms, measured))
    for name, (low, high) in result.targets.items():
        bounds, measured = Range(low, high), result.targets_ms.get(name, {}).get(subnet.digest)
        try:
            found.append(_target(load_predictor(name), subnet, bounds, measured))
        except InputError:  # it was a file that has gone since, or a name of another version
            words = f"{name} (predictor no longer there)"
            found.append((words, _bounds(bounds), "-", "-", _measured(measured), _kept(bounds, measured, None)))
    return tuple(found)


def _target(predictor: Predictor, subnet: Subnet, bounds: Range | None, measured: float | None) -> tuple[str, ...]:
    found = predictor.predict([subnet])
    predicted, *interval = (float(end[0]) for end in (found.latency_ms, found.lower_ms, found.upper_ms))
    words = (ms(predicted), " to ".join(map(ms, interval)), _measured(measured), _kept(bounds, measured, predicted))
    return predictor.target.slug, _bounds(bounds), *words


def _measured(measured: float | None) -> str:
    return "not measured" if measured is None else ms(measured)


def _kept(bounds: Range | None, measured: float | None, predicted: float | None) -> str:
    known = predicted if measured is None else measured
    if bounds is None or known is None:
        return "-"
    return ("yes" if bounds.excess(known) <= 0 else "no") + (", by prediction" if measured is None else "")


def _bounds(bounds: Range | None) -> str:
    return "-" if bounds is None else str(Budget(latency_ms=bounds)).removeprefix("latency ").removeprefix("from ")


def _published(space: SearchSpace) -> tuple[PublishedResult, ...]:
    """Models of the literature, for spaces of ImageNet's images and classes only."""
    ours = (space.image_size, space.in_chans, space.num_classes)
    return tuple(
        one
        for one in published_results()
        if (one.subnet.image_size, one.subnet.in_chans, one.subnet.num_classes) == ours
    )
