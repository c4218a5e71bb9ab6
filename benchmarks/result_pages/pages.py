"""The pages: docs/benchmarks.md whole; of others what stands between markers."""

from __future__ import annotations

import re
from pathlib import Path

from .demo_parts import for_the_readme, for_the_tutorial
from .deploy_parts import DELIVERED, MACHINES, ROBUST
from .method_parts import METHOD
from .parts import Section
from .predictor_parts import PREDICTING, shipped
from .profiling_parts import PROFILING, profiles
from .readme_parts import front_picture, installed, installed_parts, quickstart_rows, results
from .road_parts import ROAD
from .searching_parts import SEARCHING
from .training_parts import TRAINING

SECTIONS = (ROAD, SEARCHING, PROFILING, PREDICTING, METHOD, TRAINING, DELIVERED, ROBUST, MACHINES)
HEAD = """\
# Benchmarks

Every table, goal and miss, made from the files in [`benchmarks/results`](../benchmarks/results) by
`python benchmarks/write_pages.py`; a test keeps this page up to date. What each script does:
[benchmarks](../benchmarks/README.md). Nearly all of it was measured on shared virtual machines with two cores, which
drift: two measurements of a subnet there often differ by several per cent. Goals were set beforehand; one that was not
reached says *missed*.
"""
BETWEEN = re.compile(r"(<!-- made by write_pages.py: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def benchmarks_page(benchmarks: Path) -> str:
    """docs/benchmarks.md, of the results below a folder."""
    page, waiting = [HEAD], []
    for section in SECTIONS:
        page.append(f"## {section.title}\n")
        for part in section.parts:
            made = part.made(benchmarks)
            if made is None:
                waiting.append(part)
            else:
                page.append(f"### {part.what}\n\n{made}")
    if waiting:
        page.append("## Not measured yet\n")
        page.append("\n".join(f"- {part.what} `{part.command}`" for part in waiting) + "\n")
    return "\n".join(page)


def filled(text: str, made: dict[str, str]) -> str:
    """A page with what belongs between each pair of its markers."""
    return BETWEEN.sub(lambda found: found[1] + made[found["name"]] + found[3], text)


def written(root: Path) -> dict[Path, str]:
    """What each page should say, by its path."""
    benchmarks = root / "benchmarks"
    made = {
        "quickstart": quickstart_rows(benchmarks),
        "results": results(benchmarks),
        "picture": front_picture(root),
        "installed": installed(benchmarks),
        "installed-parts": installed_parts(benchmarks),
        "profiles": profiles(root),
        "predictors": shipped(root),
        "demo": for_the_readme(),
        **for_the_tutorial(root),
    }
    pages = {root / "docs/benchmarks.md": benchmarks_page(benchmarks)}
    for name in ("README.md", "docs/faq.md", "docs/tutorial.md", "profiles/README.md", "predictors/README.md"):
        pages[root / name] = filled((root / name).read_text(encoding="utf-8"), made)
    return pages


def titles(sections: tuple[Section, ...] = SECTIONS) -> list[str]:
    return [part.what for section in sections for part in section.parts]
