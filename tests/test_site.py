"""The documentation site: it builds without a warning, its links lead somewhere, it loads nothing from elsewhere.

In `make test`, because a change of code breaks a docstring or a link as easily as a test; `.[test]` has what it needs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import griffe
import pytest
from accessibility import CHROMIUM, WITHOUT, grave_faults, opened, started

import vitas_hw as vh

ROOT = Path(__file__).parent.parent
LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "srcset"),
    ("object", "data"),
}


class Links(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.hrefs: set[str] = set()
        self.loaded: set[str] = set()
        self.ids: set[str] = set()
        self.schemes: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if (tag, name) in LOADING:
                self.loaded.add(value)
            elif name == "href":
                self.hrefs.add(value)
            elif name == "id":
                self.ids.add(value)
            elif name == "data-md-color-scheme":
                self.schemes.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    return {path: Links(path) for path in sorted(site.rglob("*.html"))}


def test_every_page_of_the_folder_is_in_it_and_in_the_menu(site: Path, pages: dict[Path, Links]) -> None:
    menu = pages[site / "404.html"].hrefs  # which has nothing else
    for source in (ROOT / "docs").glob("*.md"):
        name = "index.html" if source.name == "README.md" else f"{source.stem}.html"
        assert (site / name).exists(), source.name
        assert {name, f"/{name}"} & menu, source.name


@pytest.mark.parametrize("name", vh.__all__)
def test_every_public_name_has_a_page_and_a_line_in_the_list(name: str, site: Path, pages: dict[Path, Links]) -> None:
    page = site / "api" / f"{name}.html"
    assert f"vitas_hw.{name}" in pages[page].ids
    assert f"api/{name}.html" in pages[site / "api.html"].hrefs
    assert "doc-contents" in page.read_text(encoding="utf-8")


def test_methods_and_properties_are_shown_with_their_docstrings(site: Path) -> None:
    text = (site / "api" / "Budget.html").read_text(encoding="utf-8")
    assert 'id="vitas_hw.Budget.parse"' in text
    assert "Raises InputError with an example" in text
    assert "_check" not in text


def test_every_link_leads_to_a_file_and_every_anchor_to_a_place(site: Path, pages: dict[Path, Links]) -> None:
    broken = []
    for path, links in pages.items():
        for href in links.hrefs | links.loaded:
            address = urlsplit(href)
            if address.scheme or path.name == "404.html":
                continue
            there = (path.parent / unquote(address.path)).resolve() if address.path else path
            if not there.is_relative_to(site.resolve()) or not there.exists():
                broken.append((path.name, href))
            elif address.fragment and there.suffix == ".html" and there.is_file():
                named = {unquote(address.fragment), address.fragment}
                if not named & pages[site / there.relative_to(site.resolve())].ids and address.fragment != "__top":
                    broken.append((path.name, href))
    assert broken == []


def test_files_outside_the_folder_come_along(site: Path) -> None:
    copied = site / "repository" / "benchmarks" / "results" / "quickstart.json"
    assert copied.read_bytes() == (ROOT / "benchmarks/results/quickstart.json").read_bytes()
    assert 'href="quickstart.json"' in (copied.parent / "index.html").read_text(encoding="utf-8")
    assert (site / "repository" / "profiles" / "index.html").exists()


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Links]) -> None:
    assert {one for links in pages.values() for one in links.loaded if re.match(r"(https?:)?//", one)} == set()
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [
        found for text in styles for found in re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//[^)]*", text)
    ] == []


def test_it_is_light_and_dark(site: Path, pages: dict[Path, Links]) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'data-md-color-media="(prefers-color-scheme: dark)" data-md-color-scheme="slate"' in text
    assert pages[site / "index.html"].schemes == {"default", "slate"}


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_nothing_is_gravely_wrong_with_them(scheme: str, site: Path) -> None:
    """For people who see or move otherwise, by axe-core; one page of each kind."""
    pytest.importorskip("axe_playwright_python")
    faults, too_wide = {}, []
    with started() as browser:
        for name in ("index", "tutorial", "benchmarks", "api", "api/Run", "demo/report"):
            with opened(browser, site / f"{name}.html", scheme, 390) as page:
                faults[name] = grave_faults(page)
                if page.evaluate("document.documentElement.scrollWidth") > 390:
                    too_wide.append(name)
    assert {name: found for name, found in faults.items() if found} == {}
    assert too_wide == []


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_picture_is_that_of_the_scheme_that_the_reader_chose(scheme: str, site: Path) -> None:
    with started() as browser, opened(browser, site / "tutorial.html", scheme, 1200) as page:
        pictures = page.locator("article img")
        assert pictures.count() == 8  # four in two schemes
        seen = [one.get_attribute("src") for one in pictures.all() if one.is_visible()]
        assert len(seen) == 4
        assert all(f"-{scheme}." in (source or "") for source in seen)
        page.evaluate("document.body.setAttribute('data-md-color-scheme', 'default')")  # as the switch does
        seen = [one.get_attribute("src") for one in pictures.all() if one.is_visible()]
        assert len(seen) == 4
        assert all("-light." in (source or "") for source in seen)


def test_examples_are_code_and_a_decorated_function_is_shown_as_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the extension of docs/docstrings.py, as mkdocstrings reads the package."""
    (tmp_path / "made.py").write_text(
        "from vitas_hw.cli.from_settings import takes\n"
        "from vitas_hw.workflows.evaluate import EvaluateSettings\n\n\n"
        "@takes(EvaluateSettings)\n"
        "def body(asked) -> None:\n"
        '    """What it does.\n\n    Example:\n        >>> 1 + 1\n        2\n    """\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    extensions = griffe.load_extensions(ROOT / "docs/docstrings.py")
    found = griffe.load("made", search_paths=[tmp_path], extensions=extensions)
    docstring = found["body"].docstring
    assert docstring.parse("google")[-1].kind is griffe.DocstringSectionKind.examples
    names = [parameter.name for parameter in found["body"].parameters]
    assert "asked" not in names
    assert {"split", "device", "seed"} <= set(names)
