"""A report as one HTML file that needs nothing else: no network, no folder beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import show_cost, three_digits
from vitas_hw.report.architecture import blocks_words, draw, in_words
from vitas_hw.report.charts import (
    Spec,
    curve_chart,
    fit_chart,
    front_chart,
    progress_chart,
    published_chart,
    score_words,
)
from vitas_hw.report.contents import Fit, Point, Report, Search

_HERE = Path(__file__).parent
_VEGA_LITE = "6.4"  # the charts are written for it
_MOST_ROWS = 60  # of a chart's table
Row = tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart, what it says in a sentence, and its numbers as a table for whoever cannot see or hover it."""

    name: str
    caption: str
    spec: Spec
    columns: Row
    rows: Sequence[Row]


def render(report: Report) -> str:
    """The page as HTML. Everything in it that a user named is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    charts = _charts(report)
    return environment.get_template("page.html.jinja").render(
        report=report,
        charts=charts,
        specs={chart.name: chart.spec for group in charts.values() for chart in group},
        drawing=draw(report.subnet, report.space) if report.subnet else None,
        targets=_targets(report.search) if report.search else (),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        library=_library() if any(charts.values()) else "",
        show_cost=show_cost,
        most_rows=_MOST_ROWS,
    )


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    return vl_convert.javascript_bundle(vl_version=_VEGA_LITE)  # type: ignore[call-arg]  # its stub forgets a default


def _charts(report: Report) -> dict[str, list[Chart]]:
    search = report.search
    return {
        "front": _front(search) if search else [],
        "fits": [_fit(fit, number) for number, fit in enumerate(report.fits, 1)],
        "progress": _progress(search) if search else [],
        "curves": [
            Chart(
                f"curve-{number}",
                f"{curve.name}: mean training loss of each epoch.",
                curve_chart(curve),
                ("epoch", "loss"),
                [(f"{epoch}", f"{loss:.4f}") for epoch, loss in enumerate(curve.loss, 1)],
            )
            for number, curve in enumerate(report.curves, 1)
        ],
    }


def _front(search: Search) -> list[Chart]:
    score = "top-1" if search.by_top1 else "size"
    columns: Row = ("subnet", score, "predicted", "measured", "MACs", "parameters", "architecture", "heads×dim/MLP")
    there = [point for point in search.points if point.on_front or point.chosen or point.measured_ms is not None]
    rows: list[Row] = [
        _front_row(point, by_top1=search.by_top1) for point in sorted(there, key=lambda p: p.cost(search.cost))
    ]
    caption = (
        f"{len(search.points)} evaluated subnets. The line is the front: nothing on this side of the budget is both"
        " cheaper and better than a subnet on it. Hover or tap a mark for its architecture."
    )
    if search.cost == "latency_ms" and search.finalists:
        caption += " Latency is the predicted one; finalists and the choice stand where they measured."
    charts = [Chart("front", caption, front_chart(search), columns, rows)]
    if search.published:
        ours = "inherited weights on the search split of this run's data"
        caption = (
            "Beside DeiT and ViTAS as their authors published them: ImageNet top-1 after a training of their own, not"
            f" measured here. Ours: {ours}, so the two are not to be compared point by point."
        )
        rows = [
            (one.name, f"{one.top1:.1%}", show_cost(one.subnet.macs, "macs"), show_cost(one.subnet.params, "params"))
            for one in search.published
        ]
        columns = ("published model", "top-1, as published", "MACs", "parameters")
        charts.append(Chart("published", caption, published_chart(search), columns, rows))
    return charts


def _front_row(point: Point, *, by_top1: bool) -> Row:
    return (
        point.subnet.digest[:8] + (" (choice)" if point.chosen else ""),
        score_words(point.score, by_top1=by_top1),
        _ms(point.predicted_ms),
        _ms(point.measured_ms),
        show_cost(point.subnet.macs, "macs"),
        show_cost(point.subnet.params, "params"),
        in_words(point.subnet),
        blocks_words(point.subnet),
    )


def _fit(fit: Fit, number: int) -> Chart:
    floor = "not measured" if fit.noise_floor is None else f"{fit.noise_floor:.1%}"
    seen = (
        "Each subnet is predicted by a model fitted without it"
        if fit.held_out
        else "The predictor was fitted to these subnets, so they say little about unseen ones"
    )
    caption = (
        f"{fit.target}: {len(fit.subnets)} subnets, predictor {fit.kind}. {seen}. The band is the noise floor"
        f" ({floor}): how much two measurements of one subnet differ on average."
    )
    finalists = [(" (finalist)", one.subnet, one.measured_ms, one.predicted_ms) for one in fit.finalists]
    rest = [("", *one) for one in zip(fit.subnets, fit.measured_ms, fit.predicted_ms, strict=True)]
    rows = [
        (subnet.digest[:8] + which, _ms(measured), _ms(predicted), _error(measured, predicted))
        for which, subnet, measured, predicted in (*finalists, *sorted(rest, key=lambda one: one[2]))
    ]
    return Chart(f"fit-{number}", caption, fit_chart(fit), ("subnet", "measured", "predicted", "error"), rows)


def _progress(search: Search) -> list[Chart]:
    best, rows = float("-inf"), []
    for point in search.points:
        if point.score > best:
            best = point.score
            when = "not recorded" if point.seconds is None else f"{point.seconds:.0f} s"
            words = in_words(point.subnet)
            rows.append((f"{point.number}", when, score_words(best, by_top1=search.by_top1), words))
    columns = ("evaluation", "since the first", "best so far", "architecture")
    line = "The line is the best so far; each mark is an evaluated subnet"
    charts = [Chart("progress", f"{line}.", progress_chart(search, by_time=False), columns, rows)]
    if all(point.seconds is not None for point in search.points):
        spec = progress_chart(search, by_time=True)
        charts.append(Chart("progress-time", f"{line}, at the time it was evaluated.", spec, columns, rows))
    return charts


def _targets(search: Search) -> list[Row]:
    """Of each target: budget, predicted, the interval, measured, whether it is inside."""
    rows: list[Row] = []
    for target in search.targets:
        known = target.predicted_ms if target.measured_ms is None else target.measured_ms
        inside = "-"
        if target.bounds is not None and known is not None:
            inside = "yes" if target.bounds.excess(known) <= 0 else "no"
            inside += "" if target.measured_ms is not None else ", by prediction"
        interval = "-" if target.interval_ms is None else " to ".join(_ms(end) for end in target.interval_ms)
        measured = "not measured" if target.measured_ms is None else _ms(target.measured_ms)
        rows.append((target.name, _bounds(target.bounds), _ms(target.predicted_ms), interval, measured, inside))
    return rows


def _bounds(bounds: Any) -> str:
    if bounds is None:
        return "-"
    low, high = (None if bound is None else f"{three_digits(bound)} ms" for bound in (bounds.low, bounds.high))
    return f"{low} to {high}" if low and high else f"at most {high}" if high else f"at least {low}"


def _error(measured: float | None, predicted: float | None) -> str:
    return "-" if measured is None or predicted is None else f"{predicted / measured - 1:+.1%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else show_cost(value, "latency_ms")
