"""The page as people see it: both colour schemes, a desk and a phone, offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accessibility import CHROMIUM, WITHOUT, grave_faults, opened, started

from vitas_hw.report.page import report
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
Whole = tuple[Run, SearchResult]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as browser:
        yield browser


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        ("whole", "light", 1200),
        ("whole", "dark", 1200),
        ("whole", "light", 390),
        ("whole", "dark", 390),
        ("imagenet", "dark", 390),
    ],
)
def test_the_page_draws_itself(
    browser: Any, name: str, scheme: str, width: int, request: pytest.FixtureRequest
) -> None:
    run, result = request.getfixturevalue(name)
    path, _ = report(run)
    complaints: list[str] = []
    asked: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844}, offline=True)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html[data-drawn]")

    assert complaints == []
    assert asked == [path.resolve().as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.locator("[data-chart]")
    assert charts.count() >= 3
    for number in range(charts.count()):
        drawing = charts.nth(number).locator("svg.marks")
        assert drawing.count() == 1
        assert 200 < drawing.bounding_box()["width"] <= width
    assert page.locator(".figures .value").first.inner_text() == ("96.11%" if name == "whole" else "93.75%")
    assert page.locator("svg.architecture g > title").count() == result.choice.subnet.depth
    # text and page differ as they should in either scheme
    brightness = "e => getComputedStyle(e).%s.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 3"
    body = page.locator("body")
    text, back = (body.evaluate(brightness % which) for which in ("color", "backgroundColor"))
    assert (text < 60 and back > 220) if scheme == "light" else (text > 220 and back < 60)

    # hovering tells which subnet it is
    star = page.locator("#chart-front path[aria-label*='group: choice']").first
    star.scroll_into_view_if_needed()
    star.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert result.choice.subnet.digest[:8] in tooltip.inner_text()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "imagenet"])
def test_nothing_is_gravely_wrong_for_people_who_see_or_move_otherwise(
    browser: Any, name: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("axe_playwright_python")
    path, _ = report(request.getfixturevalue(name)[0])
    with opened(browser, path, scheme, 390) as page:
        assert grave_faults(page) == []


def test_a_grave_fault_is_found(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("axe_playwright_python")
    path = tmp_path / "page.html"
    path.write_text('<!doctype html><html lang="en"><title>A</title><main><h1>A</h1><img src="data:,"></main></html>')
    with opened(browser, path, "light", 390) as page:
        (found,) = grave_faults(page)
    assert found.startswith("image-alt (1)")
