"""The demo: what it ships is whole, of today's report and tells nothing of the machine; what makes it works."""

from __future__ import annotations

import getpass
import importlib
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from vitas_hw.report import page as report_page

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "docs/demo"
sys.path.append(str(ROOT / "benchmarks"))
demo: Any = importlib.import_module("demo")
terminal: Any = importlib.import_module("terminal_picture")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = {f"{name}-{scheme}.{ending}" for name, ending in (("work", "svg"), ("result", "svg"), ("report", "png"),
    ("choice", "png")) for scheme in ("light", "dark")}  # fmt: skip


def facts() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEMO / "demo.json").read_text())
    return found


def words_of(svg: str) -> str:
    words = [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]  # noqa: S314
    return " ".join(" ".join(words).split())


def test_every_picture_that_a_page_shows_is_there_for_both_schemes() -> None:
    shown = 0
    for path in PAGES:
        text = path.read_text()
        for source in re.findall(r"""(?:src|srcset)="([^"]+)"|!\[[^]]*\]\(([^)]+)\)""", text):
            name = next(filter(None, source))
            if not name.startswith("https://img.shields.io/"):
                assert (path.parent / name).exists(), f"{path.name}: {name}"
                shown += 1
        dark, light = (re.findall(rf'{where}="([^"]+)"', text) for where in ("srcset", "src"))
        assert [name.replace("-dark.", "-light.") for name in dark] == light, path.name
    assert shown >= 12


def test_what_is_shipped_is_whole_and_small() -> None:
    assert {path.name for path in DEMO.iterdir()} == PICTURES | {"report.html", "demo.json"}
    for name in PICTURES:
        data = (DEMO / name).read_bytes()
        assert len(data) < 150_000, name
        assert data.startswith(b"\x89PNG") or b"http" not in data.replace(b"http://www.w3.org/2000/svg", b""), name
    assert (DEMO / "report.html").stat().st_size < 2 * 2**20


def test_the_report_is_as_reports_are_today() -> None:
    """Its sections, and the charts of a run that has gone all the way."""
    page = (DEMO / "report.html").read_text()
    template = Path(report_page.__file__).with_name("page.html.jinja").read_text()
    sections = re.findall(r'<section [^>]*id="([a-z]+)"|<section id="([a-z]+)"', template)
    every = {one or other for one, other in sections} - {"warnings"}  # a quiet machine has none
    assert every <= {
        one or other for one, other in re.findall(r'<section [^>]*id="([a-z]+)"|<section id="([a-z]+)"', page)
    }
    specs = json.loads(re.search(r'<script type="application/json" id="specs">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert set(specs) == {"front", "fit-1", "progress", "progress-time", "health", "blocks", "curve-1", "curve-2"}
    groups = {row["group"] for row in specs["front"]["data"]["values"]}
    assert {"evaluated", "on the front", "finalist, measured", "choice, fine-tuned"} <= groups


def test_page_and_pictures_show_the_numbers_of_the_same_run() -> None:
    found, page = facts(), (DEMO / "report.html").read_text()
    for scheme in demo.SCHEMES:
        said = words_of((DEMO / f"result-{scheme}.svg").read_text())
        assert f"{found['test_top1']:.2%}" in said
        assert f"latency at most {found['budget_ms']:g} ms" in said
        assert f"{found['measured_ms']:.3g} ms" in said
        work = words_of((DEMO / f"work-{scheme}.svg").read_text())
        assert work.startswith("$ vitas-hw quickstart")
        assert all(f"[{step}/4]" in work for step in (1, 2, 3))
    assert f"{found['test_top1']:.2%}" in page
    assert f"{found['measured_ms']:.3g} ms" in page


def test_nothing_that_is_shipped_tells_of_the_machine() -> None:
    for path in DEMO.iterdir():
        if path.suffix in (".html", ".svg", ".json"):
            assert demo.private(path.read_text()) == [], path.name


@pytest.mark.parametrize(
    "said", ["read /home/someone/x.json", "in /tmp/tmpabc/runs", "C:\\\\Users", str(Path.home()) + "/photos"]
)
def test_a_place_on_a_machine_is_found(said: str) -> None:
    assert demo.private(f"<td>{said}</td>") != []


def test_names_of_machine_and_user_are_found_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "somebox")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    assert demo.private("<p>by jane on somebox</p>") == ["jane", "somebox"]
    assert demo.private("<td>janes, somebox-like</td> runs/default, 3/4, </div>, https://x.org/home/a") == []
    library = '<script type="module">var a = "/usr/lib/"; const specs = 1'
    assert demo.private(library) == []


def test_a_program_on_a_terminal_is_drawn_as_it_ends(tmp_path: Path) -> None:
    pytest.importorskip("pyte")
    program = (
        "import os, sys; print(os.getcwd()); print(sys.stdout.isatty(), os.get_terminal_size().columns);"
        "print('half\\rwhole'); print('\\x1b[31mred\\x1b[0m & \\x1b[1mbold\\x1b[0m <'); sys.exit(3)"
    )
    written, status = terminal.watched([sys.executable, "-c", program], tmp_path, 70)
    assert status == 3
    lines = terminal.lines_of(written, 70)
    assert [line.plain for line in lines[-3:]] == ["True 70", "whole", "red & bold <"]
    (span, *_) = lines[-1].spans
    assert str(span.style) == "red"
    for scheme, colours in terminal.COLOURS.items():
        svg = terminal.svg(lines, scheme, "it")
        assert "red & bold <" in words_of(svg)
        assert f'fill="#{colours.split()[0]}"' in svg
        assert f"#{colours.split()[3]}" in svg  # its red


def luminance(colour: str) -> float:
    parts = [part / 255 for part in bytes.fromhex(colour)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_on_the_terminal_can_be_read(scheme: str) -> None:
    back, *letters = terminal.COLOURS[scheme].split()
    for letter in letters:
        low, high = sorted((luminance(back), luminance(letter)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, letter
