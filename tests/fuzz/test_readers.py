"""Broken and hostile input to every reader: each file is read or refused in a sentence; how many, in the log."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import run_fuzz  # noqa: E402  # of this folder
from run_fuzz import BAD, CRASH, HANG, INSANE, REFUSED, UNEXPECTED, Count, fuzz, outcome_of, spoiled  # noqa: E402  # of this folder
from targets import TARGETS, Reader, try_one  # noqa: E402

Recorder = Callable[[str, object], None]
MUTATIONS = 150  # of a reader's kinds of file in the normal run


def try_many(name: str, count: int, seed: int) -> int:
    """How many inputs were tried: of a slow reader fewer."""
    count = max(round(count * min(TARGETS[name].share, 1)), 10)
    for number in range(count):
        data = spoiled(name, seed, number)
        outcome, said = outcome_of(name, data)
        assert outcome not in BAD, f"{name}, input {number} of seed {seed}: {said}: {data[:2000]!r}"
    return count


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name: str, record_property: Recorder) -> None:
    record_property("tried", f"{name} {try_many(name, MUTATIONS, 0)} changed files")


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_many_changed_files_are_read_or_refused(name: str, record_property: Recorder) -> None:
    record_property("tried", f"{name} {try_many(name, 50 * MUTATIONS, 1)} changed files")


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        *(pytest.param(name, 1000, id=f"{name}, normal") for name in ("subnet",)),
        *(
            pytest.param(name, 50_000, id=f"{name}, full", marks=pytest.mark.full)
            for name in ("profile", "predictor", "subnet", "space", "journal", "evaluations", "table")
        ),
    ],
)
def test_atheris_finds_no_way_to_another_error(name: str, inputs: int, record_property: Recorder) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "run_atheris.py"), name, str(inputs)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"tried {inputs}" in done.stdout
    record_property("tried", f"{name} {inputs} by atheris")


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_good_files(name: str) -> None:
    read = [try_one(name, seed) for seed in TARGETS[name].seeds]
    assert any(read)
    if name != "table":  # which has files of others among its own
        assert all(read)


def test_every_bad_outcome_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Readers that crash, raise, and give no number: a fuzzer that misses one would find nothing for ever."""
    wrong: dict[str, Callable[[bytes], object]] = {
        CRASH: lambda _: os.kill(os.getpid(), 9),
        UNEXPECTED: lambda _: {}["x"],
        INSANE: lambda _: {"x": [float("nan")]},
        HANG: lambda _: [None for _ in iter(int, 1)],
    }
    monkeypatch.setattr(run_fuzz, "PATIENCE_S", 0.2)
    for outcome, read in wrong.items():
        monkeypatch.setitem(TARGETS, "wrong", Reader(read, (b"{}",)))
        found = Count()
        fuzz("wrong", 0, 0, 3, float("inf"), found)
        assert found.outcomes == {outcome: 3}
        assert [one.split(":")[0] for one in found.examples[outcome]] == ["0", "1", "2"]


def test_the_fuzzer_counts_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run_fuzz.py", "--only", "subnet", "--inputs", "40", "--seed", "3", "--output"]
    found = []
    for output in (tmp_path / "one.json", tmp_path / "two.json"):
        monkeypatch.setattr(sys, "argv", [*words, str(output)])
        assert run_fuzz.main() == 0
        assert "seed 3: 40 inputs in " in capsys.readouterr().out
        found.append(json.loads(output.read_text()))
    assert found[0] == found[1]
    assert found[0]["readers"]["subnet"][REFUSED] > 10
