"""Making the demo, with a run whose numbers are made up in the place of a quickstart."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from accessibility import CHROMIUM, WITHOUT
from PIL import Image

from vitas_hw.report.page import report
from vitas_hw.runs.directory import Run
from vitas_hw.searching.result import SearchResult

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
demo: Any = importlib.import_module("demo")
WRITTEN = b"measuring\r\nFinalists under latency at most 1 ms\r\n* abc 96.11%\r\n"


def stand_in(whole: Run, written: bytes, status: int = 0) -> Any:
    """What a terminal shows of a program that leaves a run, and of another that makes its page."""

    def watched(words: Sequence[str], folder: Path, columns: int) -> tuple[bytes, int]:
        run = Run(folder / "runs/default")
        if words[-1] == "quickstart":
            shutil.copytree(whole.path, run.path)
        else:
            report(run)
        return written, status

    return watched


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_a_demo_is_made_of_one_run(
    tmp_path: Path, whole: tuple[Run, SearchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyte")
    monkeypatch.setattr(demo, "watched", stand_in(whole[0], WRITTEN))
    found = demo.make(tmp_path / "run", tmp_path / "demo")
    assert json.loads((tmp_path / "demo/demo.json").read_text()) == found
    assert (found["test_top1"], found["final_top1"], found["images"]) == (0.9611, 0.9375, 360)
    assert found["measured_ms"] == whole[1].measured_ms[whole[1].choice.subnet.digest]
    assert "96.11%" in (tmp_path / "demo/report.html").read_text()
    work, result = ((tmp_path / f"demo/{name}-light.svg").read_text() for name in ("work", "result"))
    assert "measuring" in work
    assert "Finalists" not in work
    assert "Finalists" in result
    for name in ("report-light.png", "report-dark.png", "choice-light.png", "choice-dark.png"):
        picture = Image.open(tmp_path / "demo" / name)
        assert picture.width == demo.WIDTH
        assert picture.height > 400
        corner = picture.convert("RGB").getpixel((2, 2))
        assert corner == ((16, 20, 24) if "dark" in name else (246, 247, 249))  # exactly the page's


def test_a_page_that_tells_of_the_machine_is_not_shipped(
    tmp_path: Path, whole: tuple[Run, SearchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "watched", stand_in(whole[0], WRITTEN + b"in /home/jane/runs"))
    with pytest.raises(SystemExit, match="tells of this machine: /home/"):
        demo.make(tmp_path / "run", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_a_quickstart_that_fails_makes_no_demo(
    tmp_path: Path, whole: tuple[Run, SearchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "watched", stand_in(whole[0], b"Error: no room", status=2))
    with pytest.raises(SystemExit, match="Error: no room"):
        demo.make(tmp_path / "run", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()
