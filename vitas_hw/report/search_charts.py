"""A report's charts of a search: the front, the published models beside it, the best so far."""

from __future__ import annotations

from collections.abc import Sequence

from vitas_hw.core.budget import Range, show_cost
from vitas_hw.report.architecture import blocks_words, in_words
from vitas_hw.report.search import Point, Search, ms
from vitas_hw.report.vega import (
    MAIN,
    OTHER,
    QUIET,
    STRONG,
    TEXT,
    Chart,
    Spec,
    axis,
    drawn_line,
    drawn_mark,
    hovered,
    layered,
    looks,
    number_axis,
    only,
    size_words,
)

_STAR = "M0,-1L0.23,-0.32L0.95,-0.31L0.37,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.37,0.12L-0.95,-0.31L-0.23,-0.32Z"
_GROUPS: dict[str, tuple[str, str, int]] = {  # name: colour, shape, size; in the order of drawing
    "evaluated": (QUIET, "circle", 22),
    "on the front": (MAIN, "circle", 60),
    "finalist, measured": (STRONG, "cross", 70),
    "finalist, fine-tuned": (STRONG, "triangle-up", 70),
    "choice": (STRONG, _STAR, 260),
    "choice, fine-tuned": (STRONG, _STAR, 260),
    "published": (OTHER, "diamond", 80),
}
_HOVER = (
    "name", "group", "subnet", "evaluation", "loss", "top-1", "fine-tuned loss", "size", "predicted", "measured",
    "error", "MACs", "parameters", "architecture", "heads×dim/MLP",
)  # fmt: skip
_UNITS = {"latency_ms": ("predicted p50, ms", 1.0), "macs": ("MACs, millions", 1e6), "params": ("parameters, M", 1e6)}


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
        row["x"] = cost if measured is None else measured
        if measured is not None and (point.tuned is not None or not point.chosen):
            drawn.append(row | {"group": "finalist, measured", "from": cost})
        if point.tuned is not None and (point.chosen or point.tuned < point.score):
            group = f"{'choice' if point.chosen else 'finalist'}, fine-tuned"
            drawn.append(row | {"group": group, "y": point.tuned, "inherited": point.score})
        elif point.chosen:
            drawn.append(row | {"group": "choice", "from": cost})
    axes, rule = _axes(title, by), drawn_mark("rule", STRONG, strokeWidth=1, opacity=0.6)
    layers = [
        only("datum.group == 'on the front'", drawn_line(1.5, interpolate="step-after"), axes),
        *(
            only(f"isValid(datum.{start})", rule, axes | {end: {"field": start}})
            for start, end in (("from", "x2"), ("inherited", "y2"))
            if any(start in row for row in drawn)
        ),
        _points(drawn, axes),
        *_budget(search.bounds, unit),
    ]
    drawn.sort(key=lambda row: list(_GROUPS).index(row["group"]))  # the choice is drawn last, over the others
    what = "the number of parameters" if by == "size" else f"{by} on the search split"
    spec = layered(drawn, layers, f"{what} over {title} of {len(search.points)} evaluated subnets, with their front")
    caption = (
        f"{len(search.points)} evaluated subnets. The line is the front: nothing on this side of the budget is both"
        " cheaper and better than a subnet on it. Hover or tap a mark for its architecture."
    )
    if timed and search.finalists:
        caption += " Latency is the predicted one; finalists and the choice stand where they measured."
    if search.tuned:
        caption += (
            " Subnets stand at the loss that they have with the supernet's weights; a line leads the choice, and each"
            " finalist that a short fine-tuning helped, to the loss after it, by which the choice was made."
        )
    shown = [point for point in search.points if point.on_front or point.chosen or point.measured_ms is not None]
    rows = [
        (
            point.subnet.digest[:8] + (" (choice)" if point.chosen else ""),
            score_words(point, by),
            *(["-" if point.tuned is None else f"{point.tuned:.4f}"] * search.tuned),
            ms(point.predicted_ms),
            ms(point.measured_ms),
            show_cost(point.subnet.macs, "macs"),
            show_cost(point.subnet.params, "params"),
            in_words(point.subnet),
            blocks_words(point.subnet),
        )
        for point in sorted(shown, key=lambda point: point.cost(search.cost))
    ]
    score = "loss, top-1" if by == "loss" else by
    scores = (score, "fine-tuned loss") if search.tuned else (score,)
    columns = ("subnet", *scores, "predicted", "measured", "MACs", "parameters", "architecture", "heads×dim/MLP")
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
        | {"x": one.subnet.macs / 1e6, "y": 100 * one.top1, **size_words(one.subnet)}
        for one in search.published
    ]
    axes = _axes("MACs, millions", "top-1")
    layers = [_points(drawn, axes)]
    for which, dy in (("==", 9), ("!=", -5)):  # DeiT-Ti and ViTAS-B lie side by side
        label = {"type": "text", "align": "left", "dx": 7, "dy": dy, "color": OTHER, "fontSize": 12}
        names = f"datum.group == 'published' && substring(datum.name, 0, 4) {which} 'DeiT'"
        layers.append(only(names, label, axes | {"text": {"field": "name"}}))
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
    spec = layered(drawn, layers, "the front of the search over MACs, with DeiT and ViTAS as published")
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
        layers = [_points(placed, axes), {"mark": drawn_line(2, interpolate="step-after"), "encoding": so_far}]
        spec = layered(placed, layers, f"best so far (line) and each evaluated subnet, by {title}", height=240)
        caption = f"The line is the best so far; each mark is an evaluated subnet{when}."
        return Chart(name, caption, spec, ("evaluation", "since the first", "best so far", "architecture"), rows)

    found = [over("progress", "evaluation", [point.number for point in points])]
    times = [point.seconds / 60 for point in points if point.seconds is not None]
    if len(times) == len(points):
        found.append(
            over("progress-time", "minutes since the first evaluation", times, ", at the time it was evaluated")
        )
    return found


def score_words(point: Point, by: str) -> str:
    """A loss and the top-1 beside it, a top-1 in percent, or a number of parameters."""
    if by == "size":
        return show_cost(point.score, "params")
    return f"{point.score:.4f}, {point.top1:.2%}" if by == "loss" else f"{point.score:.2%}"


def _points(rows: Sequence[Spec], axes: Spec) -> Spec:
    used = {row["group"] for row in rows}
    marks = looks({name: look for name, look in _GROUPS.items() if name in used})
    tooltip = hovered(name for name in _HOVER if any(name in row for row in rows))
    mark = {"type": "point", "filled": True, "opacity": 0.9}
    return {"mark": mark, "encoding": axes | marks | {"tooltip": tooltip}}


def _axes(title: str, by: str) -> Spec:
    """Cost or time, and the score: the better, the higher."""
    words = {"loss": "loss, downwards", "top-1": "top-1, %", "size": "parameters, M"}[by]
    return {"x": axis("x", title), "y": number_axis("y", words, zero=False, nice=True, reverse=by == "loss")}


def _budget(bounds: Range | None, unit: float) -> list[Spec]:
    there = [bound / unit for bound in (bounds.low, bounds.high) if bound is not None] if bounds else []
    rule = drawn_mark("rule", TEXT, strokeDash=[5, 4], strokeWidth=1.2)
    text = {"type": "text", "color": TEXT, "align": "right", "dx": -5, "y": 8, "fontSize": 12}
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
    about |= {} if point.tuned is None else {"fine-tuned loss": f"{point.tuned:.4f}"}
    times = {"predicted": point.predicted_ms, "measured": point.measured_ms}
    return about | {name: ms(time) for name, time in times.items() if time is not None} | size_words(point.subnet)


def _shown(score: float, by: str) -> float:
    return score * {"loss": 1.0, "top-1": 100.0, "size": 1e-6}[by]
