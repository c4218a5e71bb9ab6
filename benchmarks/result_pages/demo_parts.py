"""Where the demo is shown: pictures of its report and of its terminal, and what its run came to."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

from .readme_parts import plain

DEMO = "docs/demo"
ALTS = {
    "report": "A run's report: headline figures, what to know before trusting them, what was asked and what came out,"
    " the Pareto front with the choice.",
    "choice": "The same report further down: the chosen architecture block by block, and predicted over measured"
    " latency.",
    "work": "The terminal while a quickstart works: a bar each for measuring, training, searching, fine-tuning and"
    " exporting.",
    "result": "The terminal at its end: the table of the finalists, the choice first, and the table of the quickstart.",
}


def shown(name: str, page: str, width: int) -> str:
    """A picture for light and dark pages.

    Args:
        name: of ``ALTS``.
        page: that shows it, from the root of the repository.
        width: in pixels.
    """
    ending = "png" if name in ("report", "choice") else "svg"
    light, dark = (
        posixpath.relpath(f"{DEMO}/{name}-{scheme}.{ending}", posixpath.dirname(page)) for scheme in ("light", "dark")
    )
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" width="{width}" alt="{ALTS[name]}"></picture>'
    )


def for_the_readme() -> str:
    """The report, small, which leads to the page itself."""
    return f'<a href="{DEMO}/report.html">{shown("report", "README.md", 480)}</a>\n'


def for_the_tutorial(root: Path) -> dict[str, str]:
    """By the name of its place, what the tutorial shows."""
    found = json.loads((root / DEMO / "demo.json").read_text(encoding="utf-8"))
    tuned = f"{found['inherited_top1']:.1%} with the supernet's weights, {found['final_top1']:.1%} after fine-tuning"
    words = (
        f"The pictures are of one run, on {found['cpus']} cores of {plain(found['cpu'])}, where it took"
        f" {found['quickstart_s']:.0f} s. Its choice measures {found['measured_ms']:.3g} ms under a budget of"
        f" {found['budget_ms']:g} ms. On the images held out for the search it has a top-1 of {tuned}; on the"
        f" {found['images']} test images, which nothing had seen, {found['test_top1']:.1%}. Yours will differ, as"
        " machines do.\n"
    )
    pictures = {name: shown(name, "docs/tutorial.md", 720) + "\n\n" for name in ALTS}
    return {"demo-words": words} | {f"demo-{name}": picture for name, picture in pictures.items()}
