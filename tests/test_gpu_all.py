"""The one command for a GPU machine, with steps that take no time; and what is made of its files here."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks/gpu"))
everything: Any = importlib.import_module("all")
carry: Any = importlib.import_module("carry")
Step = everything.Step

WRITE = "import json, sys; json.dump([{'complete': sys.argv[2] == 'yes'}], open(sys.argv[1], 'w')); print('written')"
RESULTS = {"results.json", "log.txt", "kept.tar.gz"}


def call(steps: tuple[Any, ...], out: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    monkeypatch.setattr(everything, "steps", lambda cpu: steps)
    monkeypatch.setattr(everything, "machine", lambda cpu: {"gpu": "NVIDIA H100 80GB HBM3, GPU-1"})
    monkeypatch.setattr(sys, "argv", ["all.py", "--seconds", "60", "--out", str(out), *words])
    everything.main()
    assert {path.name for path in out.iterdir()} == RESULTS
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


def step(name: str, program: str, *words: str, **more: Any) -> Any:
    return Step(name, ("-c", program, *words), **{"seconds": 30.0, "least": 0.1} | more)


def test_a_step_that_fails_or_hangs_costs_itself_only_and_a_later_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (
        step("good", WRITE, "{work}/good.json", "yes", result="good.json"),
        step("crash", "import os; print('about to die', flush=True); os.kill(os.getpid(), 11)"),
        step("hang", "import time; print('slow', flush=True); time.sleep(60)", seconds=1.5),
        step("parts", WRITE, "{work}/parts.json", "no", result="parts.json", goes_on=True),
        step("search", "raise SystemExit(1)", "{profile}"),
        step("late", "raise SystemExit(1)", least=100.0),
    )
    found = call(first, tmp_path / "1", monkeypatch)["steps"]
    states = {name: one["state"] for name, one in found.items()}
    assert states == {"good": "done", "crash": "failed (-11)", "hang": "cut", "parts": "done"}
    assert found["good"]["result"] == [{"complete": True}]
    assert found["crash"]["last_lines"] == ["about to die"]
    assert not found["parts"]["complete"]
    printed = capsys.readouterr().out
    assert "search: there is no profile to search on" in printed
    assert "late: no time left for it in this call" in printed
    assert printed.splitlines()[-1].startswith("parts")  # the table stands last
    with tarfile.open(tmp_path / "1/kept.tar.gz") as tar:
        assert set(tar.getnames()) == {"good.json", "parts.json"}
    second = (
        step("good", "raise SystemExit('done before')"),
        step("crash", "print('alive')"),
        step("parts", WRITE, "{work}/parts.json", "yes", result="parts.json", goes_on=True),
    )
    again = call(second, tmp_path / "2", monkeypatch, "--resume", str(tmp_path / "1"))
    assert len(again["calls"]) == 2
    states = {name: (one["state"], one["call"]) for name, one in again["steps"].items()}
    assert states == {"good": ("done", 0), "crash": ("done", 1), "hang": ("cut", 0), "parts": ("done", 1)}
    assert again["steps"]["parts"]["seconds"] > found["parts"]["seconds"]  # of both calls
    with tarfile.open(tmp_path / "2/kept.tar.gz") as tar:
        assert "good.json" in tar.getnames()


def test_what_was_finished_stands_in_the_folder_while_the_next_step_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    look = f"import json; print(json.load(open({str(out / 'results.json')!r}))['steps']['one']['state'])"
    two = (step("one", WRITE, "{work}/one.json", "yes"), step("two", look))
    assert call(two, out, monkeypatch)["steps"]["two"]["last_lines"] == ["done"]


def test_every_script_of_the_plan_is_there_and_takes_its_options() -> None:
    for cpu in (False, True):
        for one in everything.steps(cpu):
            script = Path(one.words[0])
            if script.suffix == ".py":
                text = script.read_text()
                for word in one.words:
                    assert not word.startswith("--") or f'"{word}"' in text, (script, word)


def test_what_comes_back_is_put_in_its_place_and_replaces_nothing(tmp_path: Path) -> None:
    out, root = tmp_path / "out", tmp_path / "root"
    out.mkdir()
    known = ROOT / "tests/older_files/v1/profile.jsonl"
    with tarfile.open(out / "kept.tar.gz", "w:gz") as tar:
        tar.add(known, "profiles/whatever.jsonl")
    calls = [{"gpu": "NVIDIA H100 80GB HBM3, GPU-1, 580", "begun": "2026-11-25T15:00:00Z"}]
    (out / "results.json").write_text(json.dumps({"calls": calls, "steps": {}}))
    told = carry.read(out, root)
    (profile,) = root.glob("profiles/*.jsonl")
    (predictor,) = root.glob("predictors/*.json")
    assert profile.read_bytes() == known.read_bytes()
    assert predictor.stem == profile.stem
    assert (root / "benchmarks/results/gpu-nvidia-h100-80gb-hbm3-2026-11-25.json").is_file()
    assert len(told) == 3
    before = predictor.read_bytes()
    assert all("is there" in line for line in carry.read(out, root))
    profile.write_text("another's\n")
    predictor.unlink()
    assert "DIFFERS" in carry.read(out, root)[0]
    assert profile.read_text() == "another's\n"
    assert not predictor.exists()
    shutil.copy(known, profile)
    carry.read(out, root)
    assert predictor.read_bytes() == before


def test_the_command_line_of_a_call_is_short_enough_and_goes_on() -> None:
    line = carry.line(".whl", "earlier")
    assert len(line) < 2000
    assert line.endswith("--out $OUT --resume earlier")
