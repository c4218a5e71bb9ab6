"""The pages of numbers are made from the results: up to date, missing what is not measured, nothing left out."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))
pages: Any = importlib.import_module("result_pages.pages")
parts: Any = importlib.import_module("result_pages.parts")
deploy_parts: Any = importlib.import_module("result_pages.deploy_parts")
readme_parts: Any = importlib.import_module("result_pages.readme_parts")
road_parts: Any = importlib.import_module("result_pages.road_parts")
training_parts: Any = importlib.import_module("result_pages.training_parts")
FRONT: dict[str, Any] = {
    "budget_ms": 1.0,
    "images": 360,
    "choice": "b",
    "choice_top1": 0.98,
    "evaluated": [
        {"subnet": name, "top1": top1, "measured_ms": ms}
        for name, top1, ms in (("a", 0.9, 0.5), ("b", 0.95, 0.9), ("c", 0.97, 1.4), ("d", 0.5, None))
    ],
    "deit": [{"subnet": "e", "top1": 0.93, "measured_ms": 1.2}],
}
write_pages: Any = importlib.import_module("write_pages")
EVERY = [part for section in pages.SECTIONS for part in section.parts]


@pytest.fixture
def benchmarks(tmp_path: Path) -> Path:
    """A copy of the results, to be changed."""
    for name in ("results", "pays", "shrink"):
        shutil.copytree(ROOT / "benchmarks" / name, tmp_path / name)
    return tmp_path


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def waiting(page: str) -> str:
    return page.partition("## Not measured yet")[2]


def test_every_page_is_up_to_date() -> None:
    stale = [path for path, text in pages.written(ROOT).items() if path.read_text() != text]
    assert stale == [], "Run: python benchmarks/write_pages.py"


def test_the_command_writes_what_is_stale_and_checks_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("old\n")
    monkeypatch.setattr(write_pages, "ROOT", tmp_path)
    monkeypatch.setattr(write_pages, "written", lambda root: {root / "page.md": "new\n"})
    monkeypatch.setattr(sys, "argv", ["write_pages.py", "--check"])
    with pytest.raises(SystemExit, match=r"Run: python benchmarks/write_pages\.py"):
        write_pages.main()
    assert page.read_text() == "old\n"
    monkeypatch.setattr(sys, "argv", ["write_pages.py"])
    write_pages.main()
    assert page.read_text() == "new\n"
    assert capsys.readouterr().out == "page.md: not up to date\npage.md: written\n"
    monkeypatch.setattr(sys, "argv", ["write_pages.py", "--check"])
    write_pages.main()


def test_every_result_is_on_the_page() -> None:
    shown = {name for part in EVERY for name in part.files}
    found = {f"results/{path.name}" for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert {name for name in found if name not in shown and not Path(name).match("results/gpu-*.json")} == set()


def test_a_result_that_is_gone_is_listed_with_its_command_and_comes_back_by_itself(benchmarks: Path) -> None:
    whole = pages.benchmarks_page(benchmarks)
    path = benchmarks / "results/export_speed.json"
    text = path.read_text()
    path.unlink()
    without = pages.benchmarks_page(benchmarks)
    assert "torch.onnx.export" in whole
    assert "torch.onnx.export" not in without
    assert "- How fast is a subnet ready to be timed? `python benchmarks/export_speed.py`" in waiting(without)
    assert "export_speed" not in waiting(whole)
    path.write_text(text)
    assert pages.benchmarks_page(benchmarks) == whole


def test_a_number_and_its_verdict_follow_the_result(benchmarks: Path) -> None:
    change(benchmarks / "results/quickstart.json", quickstart_s=332.0)
    assert "332 s (goal 480 s) |" in pages.benchmarks_page(benchmarks)
    change(benchmarks / "results/quickstart.json", quickstart_s=481.0)
    assert "481 s (goal 480 s: missed) |" in pages.benchmarks_page(benchmarks)
    assert "| 481 s |" in readme_parts.quickstart_rows(benchmarks)


def test_the_quiet_latencys_row_appears_once_it_is_measured(benchmarks: Path) -> None:
    what = "How much better does a quiet latency repeat than a p50 (onnxruntime)?"
    path = benchmarks / "results/repeatability_onnxruntime.json"
    assert what in waiting(pages.benchmarks_page(benchmarks))
    found = json.loads(path.read_text())
    rows = {"ours, quiet": {**found["rows"]["ours"], "median": 0.0123}, **found["rows"]}
    better = {"median": 1.81, "median_95": [1.5, 2.1], "p90": 1.4, "p90_95": [1.2, 1.6]}
    change(path, rows=rows, times_better=better, goal=found["goal"] | {"times_better": 1.7})
    page = pages.benchmarks_page(benchmarks)
    assert what not in waiting(page)
    assert "| ours: the quiet latency of the same visits | 1.2% (goal 2%) |" in page
    assert "1.81 (goal 1.7) (1.50 to 2.10) times at the median" in page


def test_a_study_is_shown_only_when_its_test_part_was_read(benchmarks: Path) -> None:
    what = "Is a searched net better than one drawn by hand"
    assert what in waiting(pages.benchmarks_page(benchmarks))
    report = json.loads((benchmarks / "pays/report.json").read_text())
    for arms in report["arms"].values():
        arms["by hand"] = {"nets": 3, "mean": 0.901, "each": [0.901] * 3}
    report |= {
        "part": "test part",
        "ours": {
            f"{ceiling}, supernet 0": {"nets": 2, "mean": 0.912, "each": [0.912] * 2} for ceiling in report["arms"]
        },
        "decision": {"claim": True, "goal": False, "why": "all conditions hold"},
    }
    (benchmarks / "pays/report.json").write_text(json.dumps(report))
    (benchmarks / "pays/test.json").write_text(json.dumps({"images": 10000, "top1": {"a": 0.9}}))
    page = pages.benchmarks_page(benchmarks)
    assert what not in waiting(page)
    assert "| 1M | ours | 1 | 91.20% |" in page
    assert "| 1M | by hand | 3 | 90.10% |" in page
    assert "claim True, goal False; all conditions hold." in page


def test_the_shrink_studys_search_part_is_no_result() -> None:
    levels = {
        "third": {
            "ours": {"trainings": 3, "top1": 0.9, "share": 0.331},
            "torch-pruning": {"trainings": 3, "top1": 0.897},
            "fastnas": {"trainings": 0, "refused": "no"},
        }
    }
    goal = {"best peer": "torch-pruning", "over it": 0.003, "wanted": 0.005, "reached": False}
    goal |= {"over scratch": 0.01, "not below scratch": True}
    report = {"part": "search part; the test part is sealed", "levels": levels, "goals": {"third": goal, "half": None}}
    test = {"top1": {"a": 0.9, "b": 0.8}}
    assert deploy_parts.shrink(test, report) is None
    text = deploy_parts.shrink(test, report | {"part": "test part"})
    assert "| third | ours | 3 | 90.00% | 0.33 |" in text
    assert "| third | fastnas | refused |  |  |" in text
    assert (
        "One third: +0.30 points over torch-pruning (goal 0.5: missed), +1.00 over the net by hand (goal not below)."
        in text
    )
    road = {"seconds": 2500.0, "goal_seconds": 2400, "steps": [{"step": "train", "seconds": 1000.0}]}
    assert "2500 s (goal 2400 s: missed); train 1000 s." in deploy_parts.shrink_road(road)


def test_what_no_machine_has_measured_yet_can_be_shown() -> None:
    search = {"ties": 0.35, "search_s": 12.0}
    row = {
        "seed": 0,
        "by_depth": [{}, {"rise_in_errors": -0.5}, {"rise_in_errors": 0.7}],
        "search": search,
        "ceilings": [{"ties": 0.1, "search_s": 21.0}],
        "choice_test_top1": 0.97,
        "random_mean_test_top1": 0.96,
        "worse_with_more": [],
    }
    shown = road_parts.digits({"goals": {"ties": 0.3, "search_s": 20.0}, "rows": [row]})
    assert (
        "| 0 | +0.7 (goal 1.0) | 35% (goal 30%: missed) | 97.00%, 96.00% | 0 of 1 | 21 s (goal 20 s: missed) |" in shown
    )
    kernels = {"goal": 1.2, "ratio": {"median": 1.25}, "mean": {"supernet": 500.0, "plain": 400.0}}
    assert "1.25 (goal 1.2: missed) at the median (500 and 400 on average)" in training_parts.launches(kernels)
    threads = {
        "goal": 1.3,
        "alone": [{"net": "6M", "rule": 2, "of_the_best": 0.98}],
        "beside_others": [
            {"net": "6M", "way": way, "cpu_ratio": ratio, "wall_ratio": 2.0}
            for way, ratio in (("ours", 1.1), ("a bare script", 2.2))
        ],
    }
    shown = training_parts.threads(threads)
    assert "| 6M | 2 | 0.98 |" in shown
    assert "| 6M | ours | 1.10 (goal 1.3) | 2.00 |" in shown
    assert "| 6M | a bare script | 2.20 | 2.00 |" in shown
    killed = {"commands": {name: {"kills": 24, "wrong": []} for name in ("search", "shrink")}}
    assert "search and shrink: 48 kills, 0 (goal 0) wrong." in deploy_parts.killed_too(killed)
    call = {"calls": [{"gpu": "NVIDIA H100, GPU-1"}], "steps": {"doctor": {"state": "done", "seconds": 12.3}}}
    assert "| NVIDIA H100 | doctor | done | 12 s |" in deploy_parts.gpu([call])


def test_files_of_a_starred_name_are_read_together(tmp_path: Path) -> None:
    part = parts.Part("What?", "python x.py", ("results/gpu-*.json",), lambda found: f"{len(found)} files")
    assert part.made(tmp_path) is None
    (tmp_path / "results").mkdir()
    for day in (1, 2):
        (tmp_path / f"results/gpu-card-{day}.json").write_text("{}")
    assert part.made(tmp_path).startswith("2 files\n\nFrom `python x.py`: [gpu-card-1.json]")


def test_questions_are_asked_once_and_answered_by_a_script_that_is_there() -> None:
    questions = [part.what for part in EVERY]
    assert len(questions) == len(set(questions))
    for part in EVERY:
        for word in part.command.replace(";", " ").split():
            if word.endswith(".py"):
                assert (ROOT / word).exists(), part.command


def test_the_picture_appears_once_it_is_drawn(tmp_path: Path) -> None:
    assert readme_parts.front_picture(tmp_path) == ""
    (tmp_path / readme_parts.PICTURES).mkdir(parents=True)
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    found = FRONT | {"environment": {"hardware": {"cpu": "Made-up(R) Processor"}}}
    (tmp_path / "benchmarks/results/front.json").write_text(json.dumps(found))
    for scheme in ("light", "dark"):
        (tmp_path / readme_parts.PICTURES / f"front-{scheme}.svg").write_text("<svg/>")
    text = readme_parts.front_picture(tmp_path)
    assert 'srcset="docs/pictures/front-dark.svg"' in text
    assert "*4 subnets of one supernet of the digits, each timed on Made-up and" in text
    assert "on 360 held-out images (each 0.28 points; the search ranks by loss). The choice takes 0.9 of 1 ms;" in text
    assert "raised it from 95.0% to 98.0% of the same images." in text


def test_what_a_quickstart_looks_at_stands_beside_deits_proportions() -> None:
    text = road_parts.front(FRONT)
    assert "| evaluated | 4 | 1 | 2 | 95.0% at 0.9 ms |" in text
    assert "| of DeiT's proportions | 1 | 0 | 0 | none |" in text
    assert "The choice, at 95.0%, took 0.9 ms here." in text
