"""A page in a browser, and what axe-core finds wrong with it for people who see or move otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WITHOUT = "no Chromium here: apt install chromium"
GRAVE = ("serious", "critical")


@contextmanager
def started() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, path: Path, scheme: str, width: int) -> Iterator[Any]:
    """A page of a file, without a network; what is folded is open."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844}, offline=True)
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    page.wait_for_load_state("load")
    if page.locator("[data-chart]").count():
        page.wait_for_selector("html[data-drawn]")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    try:
        yield page
    finally:
        context.close()


def grave_faults(page: Any) -> list[str]:
    """Each fault that axe-core calls serious or critical: its rule, the first element, what is wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for fault in Axe().run(page).response["violations"]:
        if fault["impact"] in GRAVE:
            first = fault["nodes"][0]
            found.append(f"{fault['id']} ({len(fault['nodes'])}): {first['target']}: {first['failureSummary']}")
    return found
