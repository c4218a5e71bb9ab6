"""A report's charts: Vega-Lite specifications (https://vega.github.io/vega-lite/), and the same numbers as tables.

Colours are CSS variables of the page, so that one drawing serves both colour schemes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import Range, show_cost, show_count
from vitas_hw.core.subnet import Subnet
from vitas_hw.report.architecture import blocks_words, in_words
from vitas_hw.report.fits import Fit
from vitas_hw.report.search import Point, Search, ms
from vitas_hw.training.health import Group, Health

Spec = dict[str, Any]
Row = tuple[str, ...]
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_THEME = Path(__file__).with_name("page_theme.json")
_HEIGHT = 340
_TEXT, _MUTED = "var(--text)", "var(--muted)"
_QUIET, _MAIN, _STRONG, _OTHER = "var(--quiet)", "var(--main)", "var(--strong)", "var(--other)"
_STAR = "M0,-1L0.23,-0.32L0.95,-0.31L0.37,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.37,0.12L-0.95,-0.31L-0.23,-0.32Z"
_GROUPS: dict[str, tuple[str, str, int]] = {  # name: colour, shape, size; in the order of drawing
    "evaluated": (_QUIET, "circle", 22),
    "on the front": (_MAIN, "circle", 60),
    "finalist, measured": (_STRONG, "cross", 70),
    "choice": (_STRONG, _STAR, 260),
    "published": (_OTHER, "diamond", 80),
}
_HOVER = (
    "name", "group", "subnet", "evaluation", "loss", "top-1", "size", "predicted", "measured", "error", "MACs",
    "parameters", "architecture", "heads×dim/MLP",
)  # fmt: skip
_UNITS = {"latency_ms": ("predicted p50, ms", 1.0), "macs": ("MACs, millions", 1e6), "params": ("parameters, M", 1e6)}


@dataclass(frozen=True)
class Chart:
    """A chart, what it says in a sentence, and its numbers as a table for whoever cannot see or hover it."""

    name: str
    caption: str
    spec: Spec
    columns: Row
    rows: Sequence[Row]


def front_chart(search: Search) -> Chart:
    """Score over cost: all that was evaluated, the front, the measured finalists, the choice, the budget."""
    timed, by = search.cost == "latency_ms", search.ranked_by
    title, unit = _UNITS[search.cost]
    title = "p50, ms" if timed and search.finalists else title
    drawn = []
    for point in search.points:
        cost = point.cost(search.cost) / unit
        row = _about(point, by) | {"x": cost, "y": _shown(point.score, by)}
        drawn.append(row | {"group": "on the front" if point.on_front else "evaluated"})
        measured = point.measured_ms if timed else None
        if measured is not None and not point.chosen:
            drawn.append(row | {"group": "finalist, measured", "x": measured, "from": cost})
        if point.chosen:
            drawn.append(row | {"group": "choice", "x": cost if measured is None else measured, "from": cost})
    axes, rule = _axes(title, by), _mark("rule", _STRONG, strokeWidth=1, opacity=0.6)
    layers = [
        _only("datum.group == 'on the front'", _line(1.5, interpolate="step-after"), axes),
        _only("isValid(datum.from)", rule, axes | {"x2": {"field": "from"}}),
        _points(drawn, axes),
        *_budget(search.bounds, unit),
    ]
    drawn.sort(key=lambda row: list(_GROUPS).index(row["group"]))  # the choice is drawn last, over the others
    what = "the number of parameters" if by == "size" else f"{by} on the search split"
    spec = _spec(drawn, layers, f"{what} over {title} of {len(search.points)} evaluated subnets, with their front")
    caption = (
        f"{len(search.points)} evaluated subnets. The line is the front: nothing on this side of the budget is both"
        " cheaper and better than a subnet on it. Hover or tap a mark for its architecture."
    )
    if timed and search.finalists:
        caption += " Latency is the predicted one; finalists and the choice stand where they measured."
    there = [point for point in search.points if point.on_front or point.chosen or point.measured_ms is not None]
    rows = [
        (
            point.subnet.digest[:8] + (" (choice)" if point.chosen else ""),
            score_words(point, by),
            ms(point.predicted_ms),
            ms(point.measured_ms),
            show_cost(point.subnet.macs, "macs"),
            show_cost(point.subnet.params, "params"),
            in_words(point.subnet),
            blocks_words(point.subnet),
        )
        for point in sorted(there, key=lambda point: point.cost(search.cost))
    ]
    score = "loss, top-1" if by == "loss" else by
    columns = ("subnet", score, "predicted", "measured", "MACs", "parameters", "architecture", "heads×dim/MLP")
    return Chart("front", caption, spec, columns, rows)


def published_chart(search: Search) -> Chart:
    """The front beside published models, over MACs: the only cost that is known of both."""
    drawn = [
        _about(point, search.ranked_by)
        | {"x": point.subnet.macs / 1e6, "y": 100 * (point.top1 or 0.0)}
        | {"group": "choice" if point.chosen else "on the front"}
        for point in search.points
        if point.on_front or point.chosen
    ]
    drawn += [
        {"name": one.name, "group": "published", "top-1": f"{one.top1:.1%} (ImageNet, trained alone, as published)"}
        | {"x": one.subnet.macs / 1e6, "y": 100 * one.top1, **_sizes(one.subnet)}
        for one in search.published
    ]
    axes = _axes("MACs, millions", "top-1")
    layers = [_points(drawn, axes)]
    for which, dy in (("==", 9), ("!=", -5)):  # DeiT-Ti and ViTAS-B lie side by side
        label = {"type": "text", "align": "left", "dx": 7, "dy": dy, "color": _OTHER, "fontSize": 12}
        names = f"datum.group == 'published' && substring(datum.name, 0, 4) {which} 'DeiT'"
        layers.append(_only(names, label, axes | {"text": {"field": "name"}}))
    caption = (
        "Beside DeiT and ViTAS as their authors published them: ImageNet top-1 after a training of their own, not"
        " measured here. Ours: inherited weights on the search split of this run's data, so the two are not to be"
        " compared point by point."
    )
    rows = [
        (one.name, f"{one.top1:.1%}", show_cost(one.subnet.macs, "macs"), show_cost(one.subnet.params, "params"))
        for one in search.published
    ]
    columns = ("published model", "top-1, as published", "MACs", "parameters")
    spec = _spec(drawn, layers, "the front of the search over MACs, with DeiT and ViTAS as published")
    return Chart("published", caption, spec, columns, rows)


def progress_charts(search: Search) -> list[Chart]:
    """The best score so far, over evaluations and, where it was recorded, over time."""
    drawn, rows, by = [], [], search.ranked_by
    points = search.points[search.known :] or search.points
    best = points[0]
    for point in points:
        if point is points[0] or search.better(point, best):
            best = point
            when = "not recorded" if point.seconds is None else f"{point.seconds:.0f} s"
            rows.append((f"{point.number}", when, score_words(best, by), in_words(point.subnet)))
        row = _about(point, by) | {"group": "choice" if point.chosen else "evaluated"}
        drawn.append(row | {"y": _shown(point.score, by), "best": _shown(best.score, by)})

    def over(name: str, title: str, places: Sequence[float], when: str = "") -> Chart:
        placed = [row | {"x": x} for row, x in zip(drawn, places, strict=True)]
        axes = _axes(title, by)
        so_far = {"x": axes["x"], "y": axes["y"] | {"field": "best"}}
        layers = [_points(placed, axes), {"mark": _line(2, interpolate="step-after"), "encoding": so_far}]
        spec = _spec(placed, layers, f"best so far (line) and each evaluated subnet, by {title}", height=240)
        caption = f"The line is the best so far; each mark is an evaluated subnet{when}."
        return Chart(name, caption, spec, ("evaluation", "since the first", "best so far", "architecture"), rows)

    found = [over("progress", "evaluation", [point.number for point in points])]
    times = [point.seconds / 60 for point in points if point.seconds is not None]
    if len(times) == len(points):
        title = "minutes since the first evaluation"
        found.append(over("progress-time", title, times, ", at the time it was evaluated"))
    return found


def fit_chart(fit: Fit, number: int) -> Chart:
    """Predicted over measured latency on logarithmic axes; the band is as wide as the noise floor."""
    seen = "held out" if fit.held_out else "fitted to"
    own = list(zip(fit.subnets, fit.measured_ms, fit.predicted_ms, strict=True))
    finalists = [(one.subnet, one.measured_ms, one.predicted_ms) for one in fit.finalists]
    drawn = [_latencies(*one) | {"group": seen} for one in own]
    drawn += [
        _latencies(subnet, measured, predicted) | {"group": "finalist"}
        for subnet, measured, predicted in finalists
        if measured is not None and predicted is not None
    ]
    values = [row[axis] for row in drawn for axis in ("x", "y")]
    low, high = min(values) / 1.1, max(values) * 1.1
    floor = fit.noise_floor or 0.0
    band = [{"x": x, "low": x * (1 - floor), "high": x * (1 + floor)} for x in (low, high)]
    x, y = (
        _number(field, f"{title} p50, ms", type="log", domain=[low, high], nice=False)
        | {"axis": {"format": ".3~g", "tickCount": 5}}
        for field, title in (("x", "measured"), ("y", "predicted"))
    )
    inside, equal = {**y, "field": "low"}, {**y, "field": "x"}
    area = _mark("area", _QUIET, opacity=0.25, clip=True)
    groups = {seen: (_MAIN, "circle", 28)} | ({"finalist": (_STRONG, "cross", 70)} if finalists else {})
    layers: list[Spec] = [
        {"data": {"values": band}, "mark": area, "encoding": {"x": x, "y": inside, "y2": {"field": "high"}}},
        {"data": {"values": band}, "mark": _line(1, _MUTED), "encoding": {"x": x, "y": equal}},
        {"mark": {"type": "point", "filled": True, "opacity": 0.8}, "encoding": {"x": x, "y": y, **_marks(groups)}},
    ]
    said = (
        "Each subnet is predicted by a model fitted without it"
        if fit.held_out
        else "The predictor was fitted to these subnets, so they say little about unseen ones"
    )
    caption = (
        f"{fit.target}: {len(fit.subnets)} subnets, predictor {fit.kind}. {said}. The band is the noise floor"
        f" ({fit.floor_words}): how much two measurements of one subnet differ on average."
    )
    listed = [(" (finalist)", *one) for one in finalists] + [("", *one) for one in sorted(own, key=lambda one: one[1])]
    rows = [
        (subnet.digest[:8] + which, ms(measured), ms(predicted), _error(measured, predicted))
        for which, subnet, measured, predicted in listed
    ]
    spec = _spec(drawn, layers, f"predicted over measured latency of {len(fit.subnets)} subnets on {fit.target}")
    return Chart(f"fit-{number}", caption, spec, ("subnet", "measured", "predicted", "error"), rows)


def curve_chart(name: str, losses: Sequence[float], number: int) -> Chart:
    """Mean training loss by epoch."""
    rows = [(f"{epoch}", f"{loss:.4f}") for epoch, loss in enumerate(losses, 1)]
    drawn = [
        {"x": epoch, "y": loss, "epoch": f"{epoch}", "loss": f"{loss:.4f}"} for epoch, loss in enumerate(losses, 1)
    ]
    y, tooltip = _number("y", "mean loss", zero=False), _tooltip(("epoch", "loss"))
    mark = {"type": "line", "color": _MAIN, "strokeWidth": 2, "point": {"color": _MAIN, "size": 18}}
    layer = {"mark": mark, "encoding": {"x": _axis("x", "epoch"), "y": y, "tooltip": tooltip}}
    spec = _spec(drawn, [layer], f"{name}: mean training loss of {len(rows)} epochs", height=220)
    return Chart(f"curve-{number}", f"{name}: mean training loss of each epoch.", spec, ("epoch", "loss"), rows)


def score_words(point: Point, by: str) -> str:
    """A loss and the top-1 beside it, a top-1 in percent, or a number of parameters."""
    if by == "size":
        return show_cost(point.score, "params")
    return f"{point.score:.4f}, {point.top1:.2%}" if by == "loss" else f"{point.score:.2%}"


def health_chart(health: Health) -> Chart:
    """A supernet's loss by size, depth, width and patch size; the lines are one standard error to each side."""
    drawn = [
        {"name": one.name, "group": one.dimension, "x": one.loss, "loss": f"{one.loss:.4f}", "top-1": f"{one.top1:.2%}"}
        | {"low": one.loss - one.error, "high": one.loss + one.error, "above the lowest": _behind(one)}
        for one in health.groups
    ]
    names, shown = [row["name"] for row in drawn], list(dict.fromkeys(row["group"] for row in drawn))
    y = {"field": "name", "type": "nominal", "sort": names, "title": None}
    x = _number("x", f"loss on {health.images} images of the search part", zero=False, nice=True)
    colors = {"domain": shown, "range": [_STRONG, _MAIN, _OTHER, _MUTED][: len(shown)]}
    color = {"color": {"field": "group", "type": "nominal", "scale": colors}}
    ends = {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}}
    tooltip = {"tooltip": _tooltip(("name", "loss", "top-1", "above the lowest"))}
    layers: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5, "tooltip": False}, "encoding": ends | color},
        {"mark": {"type": "point", "filled": True, "size": 70}, "encoding": {"y": y, "x": x} | color | tooltip},
    ]
    what = "loss of a supernet's subnets by size, depth, width and patch size"
    spec = _spec(drawn, layers, what, height=60 + 22 * len(drawn))
    caption = (
        "Random subnets with the supernet's weights; those of one colour are the same but for what is named (the"
        " smallest and the largest stand for themselves). Lower is better; a line is one standard error of the"
        " difference from the lowest of its colour, image by image."
    )
    rows = [(one.name, f"{one.loss:.4f}", f"{one.top1:.2%}", _behind(one)) for one in health.groups]
    return Chart("health", caption, spec, ("subnets", "loss", "top-1", "above the lowest"), rows)


def blocks_chart(shares: Sequence[float]) -> Chart:
    """How many of the training steps trained each block."""
    rows = [(f"{block}", f"{share:.1%}") for block, share in enumerate(shares, 1)]
    drawn = [{"block": block, "y": 100 * share, "share": f"{share:.1%}"} for block, share in enumerate(shares, 1)]
    y = _number("y", "training steps, %", domain=[0, 100])
    x = {"field": "block", "type": "ordinal", "axis": {"labelAngle": 0}}
    encoding = {"x": x, "y": y, "tooltip": _tooltip(("block", "share"))}
    layer = {"mark": {"type": "bar", "color": _MAIN}, "encoding": encoding}
    spec = _spec(drawn, [layer], "share of the training steps that trained each block", height=220)
    return Chart("blocks", "Share of the training steps that trained each block.", spec, ("block", "steps"), rows)


def _behind(group: Group) -> str:
    return f"{group.behind:.4f} ± {group.error:.4f}" if group.behind else "the lowest"


def _spec(rows: Sequence[Spec], layers: Sequence[Spec], description: str, height: int = _HEIGHT) -> Spec:
    return {
        "$schema": _SCHEMA,
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "data": {"values": list(rows)},
        "layer": list(layers),
        "config": json.loads(_THEME.read_text(encoding="utf-8")),
    }


def _only(condition: str, mark: Spec, encoding: Spec) -> Spec:
    """A layer of the rows that meet a condition."""
    return {"transform": [{"filter": condition}], "mark": mark, "encoding": encoding}


def _points(rows: Sequence[Spec], axes: Spec) -> Spec:
    used = {row["group"] for row in rows}
    marks = _marks({name: look for name, look in _GROUPS.items() if name in used})
    tooltip = _tooltip(name for name in _HOVER if any(name in row for row in rows))
    mark = {"type": "point", "filled": True, "opacity": 0.9}
    return {"mark": mark, "encoding": axes | marks | {"tooltip": tooltip}}


def _marks(groups: dict[str, tuple[str, str, int]]) -> Spec:
    names, looks = list(groups), list(groups.values())
    marks: Spec = {
        channel: {"field": "group", "type": "nominal", "scale": {"domain": names, "range": [x[place] for x in looks]}}
        for place, channel in enumerate(("color", "shape"))
    }
    sizes = [{"test": f"datum.group == '{name}'", "value": look[2]} for name, look in groups.items()]
    return marks | {"size": {"condition": sizes, "value": looks[0][2]}}


def _axes(title: str, by: str) -> Spec:
    """Cost or time, and the score: the better, the higher."""
    words = {"loss": "loss, downwards", "top-1": "top-1, %", "size": "parameters, M"}[by]
    return {"x": _axis("x", title), "y": _number("y", words, zero=False, nice=True, reverse=by == "loss")}


def _axis(field: str, title: str) -> Spec:
    return _number(field, title, zero=False, nice=True)


def _number(field: str, title: str, **scale: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "scale": scale}


def _mark(kind: str, color: str, **more: Any) -> Spec:
    """A mark that is drawn, not hovered."""
    return {"type": kind, "color": color, "tooltip": False, **more}


def _line(width: float, color: str = _MAIN, **more: Any) -> Spec:
    return _mark("line", color, strokeWidth=width, **more)


def _tooltip(names: Iterable[str]) -> list[Spec]:
    return [{"field": name, "type": "nominal"} for name in names]


def _budget(bounds: Range | None, unit: float) -> list[Spec]:
    there = [bound / unit for bound in (bounds.low, bounds.high) if bound is not None] if bounds else []
    rule = _mark("rule", _TEXT, strokeDash=[5, 4], strokeWidth=1.2)
    text = {"type": "text", "color": _TEXT, "align": "right", "dx": -5, "y": 8, "fontSize": 12}
    x = {"field": "x", "type": "quantitative"}
    return [
        {"data": {"values": [{"x": bound}]}, "mark": mark, "encoding": {"x": x} | more}
        for bound in there
        for mark, more in ((rule, {}), (text, {"text": {"value": "budget"}}))
    ]


def _about(point: Point, by: str) -> Spec:
    """What hovering shows of an evaluated subnet."""
    about: Spec = {"subnet": point.subnet.digest[:8], "evaluation": f"{point.number}"}
    about |= {"size": show_cost(point.score, "params")} if by == "size" else {"top-1": f"{point.top1:.2%}"}
    about |= {"loss": f"{point.score:.4f}"} if by == "loss" else {}
    times = {"predicted": point.predicted_ms, "measured": point.measured_ms}
    return about | {name: ms(time) for name, time in times.items() if time is not None} | _sizes(point.subnet)


def _sizes(subnet: Subnet) -> Spec:
    return {
        "MACs": show_count(subnet.macs),
        "parameters": show_count(subnet.params),
        "architecture": in_words(subnet),
        "heads×dim/MLP": blocks_words(subnet),
    }


def _latencies(subnet: Subnet, measured: float, predicted: float) -> Spec:
    return {
        "x": measured,
        "y": predicted,
        "subnet": subnet.digest[:8],
        "measured": ms(measured),
        "predicted": ms(predicted),
        "error": _error(measured, predicted),
        **_sizes(subnet),
    }


def _shown(score: float, by: str) -> float:
    return score * {"loss": 1.0, "top-1": 100.0, "size": 1e-6}[by]


def _error(measured: float | None, predicted: float | None) -> str:
    return "-" if measured is None or predicted is None else f"{predicted / measured - 1:+.1%}"
