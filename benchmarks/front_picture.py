"""Draws the README's first picture, for light and dark pages, from what ``front.py`` measured.

    python benchmarks/front_picture.py [--result benchmarks/results/front.json] [--folder docs/pictures]

Vega-Lite to SVG. All stand at their top-1 with inherited weights; a line leads the choice to what its fine-tuning came
to, on the same images. Letters are large: at 390 pixels a README shows a picture at half its size.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_tools import RESULTS

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT, LETTERS = 620, 410, 22
HIDDEN = 0.05  # of the subnets at most
SCHEMES = {  # as the report's page
    "light": {"text": "#1b1f24", "muted": "#5c6570", "line": "#e1e5ea", "quiet": "#9aa5b1", "main": "#1f6feb"}
    | {"strong": "#c2410c", "other": "#6d4bc3"},
    "dark": {"text": "#e7ebef", "muted": "#a0abb7", "line": "#2c3540", "quiet": "#7d8a98", "main": "#6cb0ff"}
    | {"strong": "#ff9457", "other": "#bda2ff"},
}
BAR = "M-1,-0.2L1,-0.2L1,0.2L-1,0.2Z"
STAR = "M0,-1L0.23,-0.32L0.95,-0.31L0.37,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.37,0.12L-0.95,-0.31L-0.23,-0.32Z"
Row = Mapping[str, Any]


def front(rows: Sequence[Row]) -> list[Row]:
    """Those that no other is both at least as fast and more accurate than, fastest first."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda row: (row["measured_ms"], -row["top1"])):
        if not found or row["top1"] > found[-1]["top1"]:
            found.append(row)
    return found


def lowest_shown(result: Mapping[str, Any]) -> float:
    """Where top-1 begins: a few that failed to learn would press the rest together."""
    tops = sorted(row["top1"] for row in (*result["evaluated"], *result["deit"]))
    found: float = tops[int(HIDDEN * len(tops))]
    return found


def spec(result: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, Any]:
    """The drawing. What could not be measured is left out."""
    evaluated = [row for row in result["evaluated"] if row["measured_ms"] is not None]
    deit = [row for row in result["deit"] if row["measured_ms"] is not None]
    (choice,) = (row for row in evaluated if row["subnet"] == result["choice"])

    def points(rows: Sequence[Row]) -> dict[str, Any]:
        return {"values": [{"x": row["measured_ms"], "y": 100 * row["top1"]} for row in rows]}

    ends = [row["measured_ms"] for row in evaluated]
    inherited, tuned = 100 * choice["top1"], 100 * result["choice_top1"]
    lowest, highest = 100 * lowest_shown(result), max(tuned, *(100 * row["top1"] for row in (*evaluated, *deit)))
    scales = {
        "x": {
            "scale": {"domain": [0.95 * min(ends), 1.03 * max(ends)], "nice": False},
            "title": "measured latency, ms",
        },
        "y": {"scale": {"domain": [lowest, highest + 0.1 * (highest - lowest)], "nice": False}, "title": "top-1, %"},
    }
    place = {axis: {"field": axis, "type": "quantitative", **about} for axis, about in scales.items()}

    def marks(rows: Sequence[Row], colour: str, shape: str, size: int, **more: Any) -> dict[str, Any]:
        mark = {"type": "point", "filled": True, "color": colours[colour], "shape": shape, "size": size, "clip": True}
        return {"data": points(rows), "mark": mark | {"opacity": 1} | more, "encoding": place}

    def words(x: float, y: float, text: str, colour: str, **more: Any) -> dict[str, Any]:
        mark = {"type": "text", "text": text, "color": colours[colour], "fontSize": LETTERS, "align": "left"}
        return {"data": {"values": [{"x": x, "y": y}]}, "mark": mark | more, "encoding": place}

    reached = front(evaluated)
    to_the_edge = {**reached[-1], "measured_ms": 2 * max(ends)}
    line = {"type": "line", "interpolate": "step-after", "color": colours["main"], "strokeWidth": 3, "clip": True}
    budget = result["budget_ms"]
    rule = {"type": "rule", "strokeDash": [7, 5], "strokeWidth": 2, "color": colours["text"]}
    x = {"x": {"field": "x", "type": "quantitative"}}
    above = {"data": {"values": [{"x": choice["measured_ms"], "y": tuned, "from": inherited}]}}
    shaft = {"mark": {"type": "rule", "color": colours["strong"], "strokeWidth": 3}}
    edge = {"stroke": colours["text"], "strokeWidth": 0.5}
    layers = [
        marks(evaluated, "quiet", "circle", 45, opacity=0.75),
        marks(deit, "other", "diamond", 130),
        {"data": points([*reached, to_the_edge]), "mark": line, "encoding": place},
        {"data": {"values": [{"x": budget}]}, "mark": rule, "encoding": x},
        words(budget, highest, f"budget {budget:g} ms", "text", dx=8, dy=-18, baseline="bottom"),
        above | shaft | {"encoding": {**place, "y2": {"field": "from"}}},
        marks([choice], "strong", "circle", 180, **edge),
        marks([{**choice, "top1": result["choice_top1"]}], "strong", STAR, 900, **edge),
    ]
    names = [
        ("choice, fine-tuned", "strong", STAR),
        ("front, inherited", "main", BAR),
        ("choice, inherited", "strong", "circle"),
        ("DeiT's proportions", "other", "diamond"),
        ("evaluated, inherited", "quiet", "circle"),
    ]
    named = {
        "field": "name",
        "type": "nominal",
        "legend": {"title": None, "orient": "top", "columns": 2, "symbolOpacity": 1},
    }
    domain = [name for name, _, _ in names]
    legend = {
        "data": {"values": [{"x": 0, "y": 0, "name": name} for name in domain]},
        "mark": {"type": "point", "filled": True, "opacity": 0},
        "encoding": {
            "color": named | {"scale": {"domain": domain, "range": [colours[colour] for _, colour, _ in names]}},
            "shape": named | {"scale": {"domain": domain, "range": [shape for _, _, shape in names]}},
        },
    }
    grid = {"gridColor": colours["line"], "domainColor": colours["line"], "tickColor": colours["line"]}
    letters = {"labelFontSize": LETTERS, "titleFontSize": LETTERS, "labelColor": colours["muted"], "tickCount": 5}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": WIDTH,
        "height": HEIGHT,
        "background": None,
        "layer": [*layers, legend],
        "config": {
            "font": "system-ui, sans-serif",
            "view": {"stroke": None},
            "axis": grid | letters | {"titleColor": colours["text"], "titleFontWeight": "normal"},
            "legend": {
                "labelFontSize": LETTERS,
                "labelColor": colours["text"],
                "symbolSize": 200,
                "columnPadding": 60,
                "labelLimit": 300,
            },
        },
    }


def draw(result: Mapping[str, Any], scheme: str) -> str:
    """The picture as SVG, for ``light`` or ``dark`` pages."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec(result, SCHEMES[scheme])), vl_version="6.4")
    return svg


def stamp(result: Path) -> str:
    """Which file a picture was drawn from; its last line."""
    return f"<!-- {result.name}: {hashlib.sha256(result.read_bytes()).hexdigest()} -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--result", type=Path, default=RESULTS / "front.json")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs/pictures")
    given = parser.parse_args()
    result = json.loads(given.result.read_text())
    given.folder.mkdir(parents=True, exist_ok=True)
    for scheme in SCHEMES:
        path = given.folder / f"front-{scheme}.svg"
        path.write_text(f"{draw(result, scheme)}\n{stamp(given.result)}")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
