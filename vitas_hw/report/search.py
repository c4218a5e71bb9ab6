"""A run's search, for its report."""

from __future__ import annotations

from vitas_hw.core.budget import Range
from vitas_hw.core.errors import InputError
from vitas_hw.core.published import PublishedResult, published_results
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.report.contents import Point, Search, TargetLatency
from vitas_hw.report.fits import Profiles
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import evaluation_times
from vitas_hw.searching.result import SearchResult


def search_shown(run: Run, space: SearchSpace, result: SearchResult, profiles: Profiles) -> Search:
    """The last search of the run as the page shows it."""
    asked = result.evolution.get("pareto")
    timed = result.choice.predicted_ms is not None
    cost = asked or ("latency_ms" if timed else "macs")
    points, by_top1 = _points(run, result), result.accuracy == "supernet"
    return Search(
        points=points,
        choice=next(point for point in points if point.chosen),
        cost=cost,
        bounds=result.budget.asked.get(cost),
        by_top1=by_top1,
        targets=_targets(result, profiles),
        published=_published(space) if by_top1 else (),
    )


def _points(run: Run, result: SearchResult) -> tuple[Point, ...]:
    when = evaluation_times(run.evaluations) if result.accuracy == "supernet" else {}
    times = [when.get((candidate.subnet.digest, candidate.layers)) for candidate in result.candidates]
    start = min((moment for moment in times if moment is not None), default=0.0)
    front = {(candidate.subnet.digest, candidate.layers) for candidate in result.front}
    return tuple(
        Point(
            number=number,
            subnet=candidate.subnet,
            score=candidate.score,
            predicted_ms=candidate.predicted_ms,
            measured_ms=result.measured_ms.get(candidate.subnet.digest),
            seconds=None if moment is None else moment - start,
            on_front=(candidate.subnet.digest, candidate.layers) in front,
            chosen=(candidate.subnet, candidate.layers) == (result.choice.subnet, result.choice.layers),
        )
        for number, (candidate, moment) in enumerate(zip(result.candidates, times, strict=True), 1)
    )


def _targets(result: SearchResult, profiles: Profiles) -> tuple[TargetLatency, ...]:
    """The search's own target, and every further one that it was asked to fit."""
    subnet, found = result.choice.subnet, []
    own = profiles.searched
    if own is not None and result.choice.predicted_ms is not None:
        measured = result.measured_ms.get(subnet.digest)
        found.append(_target(own, subnet, own.target.slug, result.budget.latency_ms, measured))
    for name, (low, high) in result.targets.items():
        try:
            other = load_predictor(name)
        except InputError:  # it was a file that has gone since, or a name of another version
            found.append(TargetLatency(name=f"{name} (predictor no longer there)", bounds=Range(low, high)))
            continue
        found.append(_target(other, subnet, other.target.slug, Range(low, high), None))
    return tuple(found)


def _target(
    predictor: Predictor, subnet: Subnet, name: str, bounds: Range | None, measured: float | None
) -> TargetLatency:
    found = predictor.predict([subnet])
    return TargetLatency(
        name=name,
        bounds=bounds,
        predicted_ms=float(found.latency_ms[0]),
        interval_ms=(float(found.lower_ms[0]), float(found.upper_ms[0])),
        measured_ms=measured,
    )


def _published(space: SearchSpace) -> tuple[PublishedResult, ...]:
    """Models of the literature, for spaces of ImageNet's images and classes only."""
    ours = (space.image_size, space.in_chans, space.num_classes)
    return tuple(
        one
        for one in published_results()
        if (one.subnet.image_size, one.subnet.in_chans, one.subnet.num_classes) == ours
    )
