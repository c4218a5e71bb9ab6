"""A report's charts of predictors, trainings and the supernet; those of its search are in ``search_charts``."""

from __future__ import annotations

from collections.abc import Sequence

from vitas_hw.core.subnet import Subnet
from vitas_hw.report.fits import Fit
from vitas_hw.report.search import ms
from vitas_hw.report.vega import (
    MAIN,
    MUTED,
    OTHER,
    QUIET,
    STRONG,
    Chart,
    Spec,
    axis,
    drawn_line,
    drawn_mark,
    hovered,
    layered,
    looks,
    number_axis,
    size_words,
)
from vitas_hw.training.health import Group, Health


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
        number_axis(field, f"{title} p50, ms", type="log", domain=[low, high], nice=False)
        | {"axis": {"format": ".3~g", "tickCount": 5}}
        for field, title in (("x", "measured"), ("y", "predicted"))
    )
    inside, equal = {**y, "field": "low"}, {**y, "field": "x"}
    area = drawn_mark("area", QUIET, opacity=0.25, clip=True)
    groups = {seen: (MAIN, "circle", 28)} | ({"finalist": (STRONG, "cross", 70)} if finalists else {})
    layers: list[Spec] = [
        {"data": {"values": band}, "mark": area, "encoding": {"x": x, "y": inside, "y2": {"field": "high"}}},
        {"data": {"values": band}, "mark": drawn_line(1, MUTED), "encoding": {"x": x, "y": equal}},
        {"mark": {"type": "point", "filled": True, "opacity": 0.8}, "encoding": {"x": x, "y": y, **looks(groups)}},
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
    spec = layered(drawn, layers, f"predicted over measured latency of {len(fit.subnets)} subnets on {fit.target}")
    return Chart(f"fit-{number}", caption, spec, ("subnet", "measured", "predicted", "error"), rows)


def curve_chart(name: str, losses: Sequence[float], number: int) -> Chart:
    """Mean training loss by epoch."""
    rows = [(f"{epoch}", f"{loss:.4f}") for epoch, loss in enumerate(losses, 1)]
    drawn = [
        {"x": epoch, "y": loss, "epoch": f"{epoch}", "loss": f"{loss:.4f}"} for epoch, loss in enumerate(losses, 1)
    ]
    y, tooltip = number_axis("y", "mean loss", zero=False), hovered(("epoch", "loss"))
    mark = {"type": "line", "color": MAIN, "strokeWidth": 2, "point": {"color": MAIN, "size": 18}}
    layer = {"mark": mark, "encoding": {"x": axis("x", "epoch"), "y": y, "tooltip": tooltip}}
    spec = layered(drawn, [layer], f"{name}: mean training loss of {len(rows)} epochs", height=220)
    return Chart(f"curve-{number}", f"{name}: mean training loss of each epoch.", spec, ("epoch", "loss"), rows)


def health_chart(health: Health) -> Chart:
    """A supernet's loss by size, depth, width and patch size; the lines are one standard error to each side."""
    drawn = [
        {"name": one.name, "group": one.dimension, "x": one.loss, "loss": f"{one.loss:.4f}", "top-1": f"{one.top1:.2%}"}
        | {"low": one.loss - one.error, "high": one.loss + one.error, "above the lowest": _behind(one)}
        for one in health.groups
    ]
    names, shown = [row["name"] for row in drawn], list(dict.fromkeys(row["group"] for row in drawn))
    y = {"field": "name", "type": "nominal", "sort": names, "title": None}
    x = number_axis("x", f"loss on {health.images} images of the search part", zero=False, nice=True)
    colors = {"domain": shown, "range": [STRONG, MAIN, OTHER, MUTED][: len(shown)]}
    color = {"color": {"field": "group", "type": "nominal", "scale": colors}}
    ends = {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}}
    tooltip = {"tooltip": hovered(("name", "loss", "top-1", "above the lowest"))}
    layers: list[Spec] = [
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5, "tooltip": False}, "encoding": ends | color},
        {"mark": {"type": "point", "filled": True, "size": 70}, "encoding": {"y": y, "x": x} | color | tooltip},
    ]
    what = "loss of a supernet's subnets by size, depth, width and patch size"
    spec = layered(drawn, layers, what, height=60 + 22 * len(drawn))
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
    y = number_axis("y", "training steps, %", domain=[0, 100])
    x = {"field": "block", "type": "ordinal", "axis": {"labelAngle": 0}}
    encoding = {"x": x, "y": y, "tooltip": hovered(("block", "share"))}
    layer = {"mark": {"type": "bar", "color": MAIN}, "encoding": encoding}
    spec = layered(drawn, [layer], "share of the training steps that trained each block", height=220)
    return Chart("blocks", "Share of the training steps that trained each block.", spec, ("block", "steps"), rows)


def _behind(group: Group) -> str:
    return f"{group.behind:.4f} ± {group.error:.4f}" if group.behind else "the lowest"


def _latencies(subnet: Subnet, measured: float, predicted: float) -> Spec:
    return {
        "x": measured,
        "y": predicted,
        "subnet": subnet.digest[:8],
        "measured": ms(measured),
        "predicted": ms(predicted),
        "error": _error(measured, predicted),
        **size_words(subnet),
    }


def _error(measured: float | None, predicted: float | None) -> str:
    return "-" if measured is None or predicted is None else f"{predicted / measured - 1:+.1%}"
