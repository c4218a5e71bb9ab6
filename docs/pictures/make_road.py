"""Draws the road as a picture, for light and dark pages: python docs/pictures/make_road.py

Plain SVG, 720 wide, with letters that can still be read at half the size, which is a README's on a phone.
"""

from __future__ import annotations

import argparse
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, HEIGHT = 720, 436
BOX_WIDTH, BOX_HEIGHT, GAP = 216, 158, 30
TOP, LEFT, BETWEEN = 6, 6, 56
SCHEMES = {
    "light": {"box": "#f6f7f9", "line": "#c3cad3", "text": "#1b1f24", "muted": "#4b5560", "main": "#1f6feb"}
    | {"strong": "#c2410c"},
    "dark": {"box": "#181e25", "line": "#46515e", "text": "#e7ebef", "muted": "#b4bec9", "main": "#6cb0ff"}
    | {"strong": "#ff9457"},
}
STEPS = (
    ("Measure", ("some subnets", "on your device")),
    ("Predict", ("the latency of", "every other one")),
    ("Train", ("one supernet", "for all of them")),
    ("Search", ("the best subnet", "inside the budget")),
    ("Measure again", ("the finalists,", "side by side")),
    ("Export", ("a plain ViT,", "checked")),
)
AGAIN = "none inside: learn from it, go on"


def place(number: int) -> tuple[int, int]:
    """Left and top of a step's box, three a row."""
    row, column = divmod(number, 3)
    return LEFT + column * (BOX_WIDTH + GAP), TOP + row * (BOX_HEIGHT + BETWEEN)


def text(x: float, y: float, words: str, size: int, colour: str, *, bold: bool = False, anchor: str = "middle") -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>'
        f"{escape(words)}</text>"
    )


def arrow(points: str, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="7 5"' if dashed else ""
    return (
        f'<path d="{points}" fill="none" stroke="{colour}" stroke-width="2.5"{dash} marker-end="url(#{colour[1:]})"/>'
    )


def head(colour: str) -> str:
    return (
        f'<marker id="{colour[1:]}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="6" markerHeight="6"'
        f' orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
    )


def road(scheme: str) -> str:
    """The SVG for ``light`` or ``dark`` pages."""
    colours = SCHEMES[scheme]
    said = "; ".join(f"{number}. {title}: {' '.join(words)}" for number, (title, words) in enumerate(STEPS, 1))
    fonts = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{fonts}">',
        f"<title>{escape(f'The road: {said}. {AGAIN.capitalize()}.')}</title>",
        f"<defs>{head(colours['main'])}{head(colours['strong'])}</defs>",
    ]
    for number, (title, words) in enumerate(STEPS):
        left, top = place(number)
        middle = left + BOX_WIDTH / 2
        drawn.append(
            f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="12" fill="{colours["box"]}"'
            f' stroke="{colours["line"]}" stroke-width="1.5"/>'
        )
        drawn.append(text(left + 14, top + 30, str(number + 1), 22, colours["main"], bold=True, anchor="start"))
        drawn.append(text(middle, top + 66, title, 24, colours["text"], bold=True))
        drawn += [text(middle, top + 103 + 29 * line, one, 22, colours["muted"]) for line, one in enumerate(words)]
        if number % 3 < 2:
            right, level = left + BOX_WIDTH, top + BOX_HEIGHT / 2
            drawn.append(arrow(f"M{right + 3} {level:g}H{right + GAP - 3}", colours["main"]))
    (third, row), (fourth, below) = place(2), place(3)
    out, turn = third + BOX_WIDTH / 2, row + BOX_HEIGHT + BETWEEN / 2
    drawn.append(
        arrow(
            f"M{out:g} {row + BOX_HEIGHT + 3}V{turn:g}H{fourth + BOX_WIDTH / 2:g}V{below - 3}",
            colours["main"],
        )
    )
    fifth, _ = place(4)
    bottom = below + BOX_HEIGHT
    start, end, low = fifth + BOX_WIDTH / 2, fourth + BOX_WIDTH / 2, bottom + 26
    drawn.append(arrow(f"M{start:g} {bottom + 2}V{low}H{end:g}V{bottom + 4}", colours["strong"], dashed=True))
    drawn.append(text((start + end) / 2, low + 27, AGAIN, 22, colours["strong"]))
    drawn.append("</svg>")
    return "\n".join(drawn) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for scheme in SCHEMES:
        (HERE / f"road-{scheme}.svg").write_text(road(scheme), encoding="utf-8")


if __name__ == "__main__":
    main()
