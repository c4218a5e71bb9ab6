"""A report's charts as Vega-Lite specifications (https://vega.github.io/vega-lite/), of plain data.

Colours are CSS variables of the page, so that one drawing serves both colour schemes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vitas_hw.core.budget import Range, show_cost, show_count, three_digits
from vitas_hw.core.published import PublishedResult
from vitas_hw.core.subnet import Subnet
from vitas_hw.report.architecture import blocks_words, in_words
from vitas_hw.report.contents import Curve, Fit, Point, Search

Spec = dict[str, Any]
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_HEIGHT = 340
_TEXT, _MUTED, _GRID = "var(--text)", "var(--muted)", "var(--line)"
_QUIET, _MAIN, _STRONG, _OTHER = "var(--quiet)", "var(--main)", "var(--strong)", "var(--other)"
_FONT = "system-ui, sans-serif"
_CONFIG: Spec = {
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _MUTED,
        "titleColor": _TEXT,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": _GRID,
        "domainColor": _GRID,
        "tickColor": _GRID,
        "labelOverlap": True,
    },
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "columns": 2,
        "labelColor": _TEXT,
        "labelFontSize": 12,
        "title": None,
        "symbolStrokeWidth": 1.5,
        "rowPadding": 4,
    },
}
_STAR = "M0,-1L0.23,-0.32L0.95,-0.31L0.37,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.37,0.12L-0.95,-0.31L-0.23,-0.32Z"
_GROUPS: dict[str, tuple[str, str, int]] = {  # name: colour, shape, size
    "evaluated": (_QUIET, "circle", 22),
    "on the front": (_MAIN, "circle", 60),
    "finalist, measured": (_STRONG, "cross", 70),
    "choice": (_STRONG, _STAR, 260),
}
_HOVER = (
    "name", "group", "subnet", "evaluation", "top-1", "size", "predicted", "measured", "error", "MACs",
    "parameters", "architecture", "heads×dim/MLP",
)  # fmt: skip
_UNITS = {"latency_ms": ("predicted p50, ms", 1.0), "macs": ("MACs, millions", 1e6), "params": ("parameters, M", 1e6)}


def front_chart(search: Search) -> Spec:
    """Score over cost: all that was evaluated, the front, the measured finalists, the choice, the budget."""
    timed = search.cost == "latency_ms"
    title, unit = _UNITS[search.cost]
    title = "p50, ms" if timed and search.finalists else title
    rows = []
    for point in search.points:
        cost = point.cost(search.cost) / unit
        row = _about(point, by_top1=search.by_top1) | {"x": cost, "y": _shown(point.score, search.by_top1)}
        rows.append(row | {"group": "on the front" if point.on_front else "evaluated"})
        measured = point.measured_ms if timed else None
        if measured is not None and not point.chosen:
            rows.append(row | {"group": "finalist, measured", "x": measured, "from": cost})
        if point.chosen:
            rows.append(row | {"group": "choice", "x": cost if measured is None else measured, "from": cost})
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum.group == 'on the front'"}],
            "mark": _line(1.5, interpolate="step-after"),
            "encoding": {"x": _x(title), "y": _y(search.by_top1)},
        },
        {
            "transform": [{"filter": "isValid(datum.from)"}],
            "mark": _mark("rule", _STRONG, strokeWidth=1, opacity=0.6),
            "encoding": {"x": _x(title), "x2": {"field": "from"}, "y": _y(search.by_top1)},
        },
        _points(rows, title, search.by_top1),
        *_budget(search.bounds, unit),
    ]
    what = "top-1 on the search split" if search.by_top1 else "the number of parameters"
    rows.sort(key=lambda row: list(_GROUPS).index(row["group"]))  # the choice is drawn last, over the others
    return _chart(rows, layers, f"{what} over {title} of {len(search.points)} evaluated subnets, with their front")


def published_chart(search: Search) -> Spec:
    """The front beside published models, over MACs: the only cost that is known of both."""
    title = "MACs, millions"
    rows = [
        _about(point)
        | {"x": point.subnet.macs / 1e6, "y": _shown(point.score)}
        | {"group": "choice" if point.chosen else "on the front"}
        for point in search.points
        if point.on_front or point.chosen
    ]
    rows += [_about_published(one) | {"x": one.subnet.macs / 1e6, "y": _shown(one.top1)} for one in search.published]
    labels = [
        {
            "transform": [{"filter": f"datum.group == 'published' && substring(datum.name, 0, 4) {which} 'DeiT'"}],
            "mark": {"type": "text", "align": "left", "dx": 7, "dy": dy, "color": _OTHER, "fontSize": 12},
            "encoding": {"x": _x(title), "y": _y(False), "text": {"field": "name"}},
        }
        for which, dy in (("==", 9), ("!=", -5))  # DeiT-Ti and ViTAS-B lie side by side
    ]
    groups = {name: _GROUPS[name] for name in ("on the front", "choice")} | {"published": (_OTHER, "diamond", 80)}
    layers = [_points(rows, title, False, groups), *labels]
    return _chart(rows, layers, "the front of the search over MACs, with DeiT and ViTAS as published")


def progress_chart(search: Search, *, by_time: bool) -> Spec:
    """The best score so far, over evaluations or over time."""
    best, rows = float("-inf"), []
    for point in search.points:
        best = max(best, point.score)
        x = (point.seconds or 0.0) / 60 if by_time else point.number
        row = _about(point, by_top1=search.by_top1) | {"x": x, "y": _shown(point.score, search.by_top1)}
        rows.append(row | {"best": _shown(best, search.by_top1), "group": "choice" if point.chosen else "evaluated"})
    title = "minutes since the first evaluation" if by_time else "evaluation"
    line = {
        "mark": _line(2, interpolate="step-after"),
        "encoding": {"x": _x(title), "y": {**_y(search.by_top1), "field": "best"}},
    }
    groups = {name: _GROUPS[name] for name in ("evaluated", "choice")}
    layers = [_points(rows, title, search.by_top1, groups), line]
    return _chart(rows, layers, f"best so far (line) and each evaluated subnet, by {title}", height=240)


def fit_chart(fit: Fit) -> Spec:
    """Predicted over measured latency on logarithmic axes; the band is as wide as the noise floor."""
    seen = "held out" if fit.held_out else "fitted to"
    rows = [
        _latencies(*one) | {"group": seen} for one in zip(fit.subnets, fit.measured_ms, fit.predicted_ms, strict=True)
    ]
    rows += [
        _latencies(point.subnet, point.measured_ms, point.predicted_ms) | {"group": "finalist"}
        for point in fit.finalists
        if point.measured_ms is not None and point.predicted_ms is not None
    ]
    values = [row[axis] for row in rows for axis in ("x", "y")]
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
    groups = {seen: (_MAIN, "circle", 28)} | ({"finalist": (_STRONG, "cross", 70)} if fit.finalists else {})
    layers: list[Spec] = [
        {"data": {"values": band}, "mark": area, "encoding": {"x": x, "y": inside, "y2": {"field": "high"}}},
        {"data": {"values": band}, "mark": _line(1, _MUTED), "encoding": {"x": x, "y": equal}},
        {"mark": {"type": "point", "filled": True, "opacity": 0.8}, "encoding": {"x": x, "y": y, **_marks(groups)}},
    ]
    return _chart(rows, layers, f"predicted over measured latency of {len(fit.subnets)} subnets on {fit.target}")


def curve_chart(curve: Curve) -> Spec:
    """Mean training loss by epoch."""
    rows = [
        {"x": epoch, "y": loss, "epoch": f"{epoch}", "loss": f"{loss:.4f}"} for epoch, loss in enumerate(curve.loss, 1)
    ]
    y, tooltip = _number("y", "mean loss", zero=False), _tooltip(("epoch", "loss"))
    mark = {"type": "line", "color": _MAIN, "strokeWidth": 2, "point": {"color": _MAIN, "size": 18}}
    layer = {"mark": mark, "encoding": {"x": _x("epoch"), "y": y, "tooltip": tooltip}}
    return _chart(rows, [layer], f"{curve.name}: mean training loss of {len(rows)} epochs", height=220)


def score_words(score: float, *, by_top1: bool = True) -> str:
    """A top-1 in percent, or a number of parameters."""
    return f"{score:.2%}" if by_top1 else show_cost(score, "params")


def _chart(rows: Sequence[Spec], layers: Sequence[Spec], description: str, height: int = _HEIGHT) -> Spec:
    return {
        "$schema": _SCHEMA,
        "description": description,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "data": {"values": list(rows)},
        "layer": list(layers),
        "config": _CONFIG,
    }


def _points(
    rows: Sequence[Spec], title: str, by_top1: bool, groups: dict[str, tuple[str, str, int]] | None = None
) -> Spec:
    used = {row["group"] for row in rows}
    there = {name: look for name, look in (groups or _GROUPS).items() if name in used}
    return {
        "mark": {"type": "point", "filled": True, "opacity": 0.9},
        "encoding": {
            "x": _x(title),
            "y": _y(by_top1),
            **_marks(there),
            "tooltip": _tooltip(name for name in _HOVER if any(name in row for row in rows)),
        },
    }


def _marks(groups: dict[str, tuple[str, str, int]]) -> Spec:
    names, looks = list(groups), list(groups.values())
    marks: Spec = {
        channel: {"field": "group", "type": "nominal", "scale": {"domain": names, "range": [x[place] for x in looks]}}
        for place, channel in enumerate(("color", "shape"))
    }
    sizes = [{"test": f"datum.group == '{name}'", "value": look[2]} for name, look in groups.items()]
    return marks | {"size": {"condition": sizes, "value": looks[0][2]}}


def _x(title: str) -> Spec:
    return _number("x", title, zero=False, nice=True)


def _y(by_top1: bool) -> Spec:
    return _number("y", "top-1, %" if by_top1 else "parameters, M", zero=False, nice=True)


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


def _about(point: Point, *, by_top1: bool = True) -> Spec:
    """What hovering shows of an evaluated subnet."""
    about: Spec = {"subnet": point.subnet.digest[:8], "evaluation": f"{point.number}"}
    about |= {"top-1" if by_top1 else "size": score_words(point.score, by_top1=by_top1)}
    if point.predicted_ms is not None:
        about["predicted"] = show_cost(point.predicted_ms, "latency_ms")
    if point.measured_ms is not None:
        about["measured"] = show_cost(point.measured_ms, "latency_ms")
    return about | _sizes(point.subnet)


def _sizes(subnet: Subnet) -> Spec:
    return {
        "MACs": show_count(subnet.macs),
        "parameters": show_count(subnet.params),
        "architecture": in_words(subnet),
        "heads×dim/MLP": blocks_words(subnet),
    }


def _about_published(one: PublishedResult) -> Spec:
    about = {"name": one.name, "group": "published", "top-1": f"{one.top1:.1%} (ImageNet, trained alone, as published)"}
    return about | _sizes(one.subnet)


def _latencies(subnet: Subnet, measured: float, predicted: float) -> Spec:
    return {
        "x": measured,
        "y": predicted,
        "subnet": subnet.digest[:8],
        "measured": f"{three_digits(measured)} ms",
        "predicted": f"{three_digits(predicted)} ms",
        "error": f"{predicted / measured - 1:+.1%}",
        **_sizes(subnet),
    }


def _shown(score: float, by_top1: bool = True) -> float:
    return 100 * score if by_top1 else score / 1e6
