"""What the report's charts are made of: parts of Vega-Lite specifications (https://vega.github.io/vega-lite/).

Colours are CSS variables of the page, so that one drawing serves both colour schemes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitas_hw.core.budget import show_count
from vitas_hw.core.subnet import Subnet
from vitas_hw.report.architecture import blocks_words, in_words

Spec = dict[str, Any]
Row = tuple[str, ...]
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_THEME = Path(__file__).with_name("page_theme.json")
_HEIGHT = 340
TEXT, MUTED = "var(--text)", "var(--muted)"
QUIET, MAIN, STRONG, OTHER = "var(--quiet)", "var(--main)", "var(--strong)", "var(--other)"


@dataclass(frozen=True)
class Chart:
    """A chart, what it says in a sentence, and its numbers as a table for whoever cannot see or hover it."""

    name: str
    caption: str
    spec: Spec
    columns: Row
    rows: Sequence[Row]


def layered(rows: Sequence[Spec], layers: Sequence[Spec], description: str, height: int = _HEIGHT) -> Spec:
    """A chart of layers over rows, as wide as its place."""
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


def only(condition: str, mark: Spec, encoding: Spec) -> Spec:
    """A layer of the rows that meet a condition."""
    return {"transform": [{"filter": condition}], "mark": mark, "encoding": encoding}


def looks(groups: dict[str, tuple[str, str, int]]) -> Spec:
    """The colour, shape and size that each group's marks have."""
    names, styles = list(groups), list(groups.values())
    marks: Spec = {
        channel: {
            "field": "group",
            "type": "nominal",
            "scale": {"domain": names, "range": [style[place] for style in styles]},
        }
        for place, channel in enumerate(("color", "shape"))
    }
    sizes = [{"test": f"datum.group == '{name}'", "value": look[2]} for name, look in groups.items()]
    return marks | {"size": {"condition": sizes, "value": styles[0][2]}}


def axis(field: str, title: str) -> Spec:
    """A quantitative axis to the right that need not begin at 0."""
    return number_axis(field, title, zero=False, nice=True)


def number_axis(field: str, title: str, **scale: Any) -> Spec:
    """A quantitative axis, with what its scale is told."""
    return {"field": field, "type": "quantitative", "title": title, "scale": scale}


def drawn_mark(kind: str, color: str, **more: Any) -> Spec:
    """A mark that is drawn, not hovered."""
    return {"type": kind, "color": color, "tooltip": False, **more}


def drawn_line(width: float, color: str = MAIN, **more: Any) -> Spec:
    """A line that is drawn, not hovered."""
    return drawn_mark("line", color, strokeWidth=width, **more)


def hovered(names: Iterable[str]) -> list[Spec]:
    """What hovering shows, in this order."""
    return [{"field": name, "type": "nominal"} for name in names]


def size_words(subnet: Subnet) -> Spec:
    """What hovering says of a subnet's size and blocks."""
    return {
        "MACs": show_count(subnet.macs),
        "parameters": show_count(subnet.params),
        "architecture": in_words(subnet),
        "heads×dim/MLP": blocks_words(subnet),
    }
