"""The demo: one real quickstart, its report as a page to look at, and pictures of what it shows on the terminal.

    python benchmarks/demo.py [--folder KEEP]        # an empty folder to keep the run in, for front.py

Runs ``vitas-hw quickstart`` and ``report`` on a terminal of 80 columns in an empty folder, puts the page, pictures of
it and of the terminal (light and dark) and what they say into docs/demo/, and writes the pages that show them. Needs
Chromium, and playwright and pyte of ``.[test]``. Run it on a quiet machine; some four minutes on two cores.
"""

from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from PIL.Image import frombytes as from_bytes
from PIL.Image import open as open_image
from rich.text import Text
from terminal_picture import lines_of, svg, watched

from vitas_hw.profiling.environment import cpu_model
from vitas_hw.runs import Run, last_result, read_exports

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "docs/demo"
COLUMNS = 80
WIDTH = 1000  # of the page in pictures, in pixels
SECTIONS = {"report": (None, "front"), "choice": ("architecture", "predictor")}  # pictures: from one section to another
SCHEMES = ("light", "dark")
RESULT = "Finalists"  # the line with which the result begins
COLOURS = 256  # of a picture, the commonest; others become the nearest of them
# places on a machine, as text: a path from the root or of Windows. `</div>` and a date are none
PLACES = re.compile(r"(?<![\w<.:/-])/(?:home|root|tmp|usr|opt|var|work|mnt|Users|private)/|(?<!\w)[A-Z]:\\\\")


def private(text: str) -> list[str]:
    """What a text tells of the machine that it was made on: its name, who used it, where files lie.

    Args:
        text: of a page. What is between the tags of a script counts too, but not the library of the charts.
    """
    text = re.sub(r'<script type="module">.*?const specs', "", text, flags=re.DOTALL)
    names = {socket.gethostname(), os.environ.get("HOSTNAME", ""), getpass.getuser()} - {"", "root", "localhost"}
    found = [name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)]
    return sorted({*found, *PLACES.findall(text), *(str(path) for path in (Path.home(), ROOT) if f"{path}/" in text)})


def facts(run: Run, seconds: float) -> dict[str, Any]:
    """What the run came to, for the pages that show it."""
    result, (exported, *_) = last_result(run), read_exports(run).values()
    return {
        "vitas_hw": version("vitas-hw"),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "quickstart_s": round(seconds, 1),
        "budget_ms": result.budget.to_dict()["latency_ms"][1],
        "measured_ms": result.measured_ms[result.choice.subnet.digest],
        "inherited_top1": result.choice.top1,
        "final_top1": result.final_top1,
        "images": exported["exported"]["images"],
        "test_top1": exported["exported"]["others"]["onnx"]["top1"],
        "load_after": round(os.getloadavg()[0], 2),
    }


def terminal_pictures(written: bytes, command: str, folder: Path) -> None:
    """One of the work, one of the result, in each scheme."""
    lines = lines_of(written, COLUMNS)
    (begins, *_) = (place for place, line in enumerate(lines) if line.plain.startswith(RESULT))
    typed = Text(f"$ {command}", style="bold")
    for name, part in (("work", [typed, *lines[:begins]]), ("result", lines[begins:])):
        for scheme in SCHEMES:
            (folder / f"{name}-{scheme}.svg").write_text(svg(part, scheme, f"The terminal: {command}, its {name}"))


@contextmanager
def opened(page: Path, scheme: str, width: int = WIDTH) -> Iterator[Any]:
    """The page in a browser, drawn."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("There is no Chromium here: apt install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = started.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True)
        shown = context.new_page()
        shown.goto(page.resolve().as_uri())
        shown.wait_for_selector("html[data-drawn]")
        try:
            yield shown
        finally:
            started.close()


def page_pictures(page: Path, folder: Path) -> None:
    """Of parts of the report, in each scheme."""
    for scheme in SCHEMES:
        with opened(page, scheme) as shown:
            for name, (first, last) in SECTIONS.items():
                top = 0 if first is None else shown.locator(f"#{first}").bounding_box()["y"] - 16
                box = shown.locator(f"#{last}").bounding_box()
                clip = {"x": 0, "y": top, "width": WIDTH, "height": box["y"] + box["height"] + 16 - top}
                taken = open_image(io.BytesIO(shown.screenshot(full_page=True, clip=clip)))
                few_colours(taken.convert("RGB")).save(folder / f"{name}-{scheme}.png", optimize=True)


def few_colours(picture: Image) -> Image:
    """A picture of a page with as many colours as it needs, which is a third of the bytes; the commonest stay exact."""
    every, where, counts = np.unique(
        np.asarray(picture).reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    kept = every[np.argsort(-counts)[:COLOURS]].astype(int)
    nearest = ((every[:, None] - kept[None]) ** 2).sum(axis=2).argmin(axis=1).astype(np.uint8)
    few = from_bytes("P", picture.size, nearest[where.ravel()].tobytes())
    few.putpalette(kept.ravel().tolist())
    return few


def make(folder: Path, demo: Path) -> dict[str, Any]:
    """Run the quickstart in the folder and put the page, its pictures and what it came to into ``demo``."""
    program, start = str(Path(sys.executable).with_name("vitas-hw")), time.perf_counter()
    written, status = watched([program, "quickstart"], folder, COLUMNS)
    seconds = time.perf_counter() - start
    if status == 0:
        status = watched([program, "report"], folder, COLUMNS)[1]
    if status:
        raise SystemExit(written.decode(errors="replace"))
    run = Run(folder / "runs/default")
    page = run.report.read_text(encoding="utf-8")
    told = private(page) + private(written.decode())
    if told:
        raise SystemExit(f"The page or the terminal tells of this machine: {', '.join(told)}")
    shutil.rmtree(demo, ignore_errors=True)
    demo.mkdir(parents=True)
    (demo / "report.html").write_text(page, encoding="utf-8")
    terminal_pictures(written, "vitas-hw quickstart", demo)
    page_pictures(demo / "report.html", demo)
    found = facts(run, seconds)
    (demo / "demo.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="an empty one to keep the run in")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = make(folder, DEMO)
    for name, value in found.items():
        print(f"{name:16} {value}")
    for path in sorted(DEMO.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    sys.path.append(str(ROOT / "benchmarks"))
    from write_pages import main as write_pages

    sys.argv = ["write_pages.py"]
    write_pages()


if __name__ == "__main__":
    main()
