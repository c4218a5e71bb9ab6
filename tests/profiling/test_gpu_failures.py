"""What breaks a GPU for one process, or for a while, costs at most one row, and none after the command is repeated.

The real worker, its processes and its journal; the GPU is that of fake_worker.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_worker import FULL, REFUSED, STICKY, VISITS

from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import measure, measurements
from vitas_hw.profiling.profile import Measurement
from vitas_hw.profiling.protocol import say_what_may_pass
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import SubnetFailedError, Worker

TARGET = Target("test-gpu", "torch", "fp16", 1, None, (32, 32))
FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))
COUNT = 40


@pytest.fixture
def subnets(digits: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(digits.sample(seed) for seed in range(2 * COUNT)))[:COUNT]


@pytest.fixture
def visits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of all processes; the first is number 1."""
    path = tmp_path / "visits"
    monkeypatch.setenv(VISITS, str(path))
    monkeypatch.delenv(STICKY, raising=False)
    monkeypatch.delenv(FULL, raising=False)
    return path


def worker() -> Worker:
    return Worker(TARGET, "cuda:0", Timing(max_samples=3), timeout_s=60.0, program=FAKE)


def numbers(found: Iterable[int]) -> str:
    return " ".join(map(str, found))


def profiled(subnets: list[Subnet], path: Path, rounds: int = 1) -> tuple[Journal, list[Measurement]]:
    journal = Journal.open(path, {})
    with worker() as meter:
        measure(meter, subnets, rounds=rounds, seed=0, journal=journal)
    return journal, measurements(journal, subnets, "first", rounds)


@pytest.mark.parametrize(
    ("variable", "which"),
    [
        (STICKY, range(0, COUNT, 8)),
        (FULL, range(3, COUNT, 8)),
        pytest.param(STICKY, range(COUNT), marks=pytest.mark.full),
    ],
)
def test_a_visit_that_fails_once_costs_no_row(
    variable: str, which: range, subnets: list[Subnet], visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ``which`` fail at their first try: an error may come at any visit."""
    before = range(len(which))  # second tries, which count too
    monkeypatch.setenv(variable, numbers(visit + tries + 1 for visit, tries in zip(which, before, strict=True)))
    journal, found = profiled(subnets, tmp_path / "journal")
    assert [len(one.rounds_ms) for one in found] == [1] * COUNT
    assert not journal.failures
    assert not journal.passing
    assert len(visits.read_bytes()) == COUNT + len(which)  # each was tried once more


@pytest.mark.parametrize(("variable", "reason"), [(STICKY, "illegal memory access"), (FULL, "CUDA out of memory")])
@pytest.mark.parametrize("at", [1, 33, COUNT])
def test_a_visit_that_fails_twice_costs_that_row_until_the_command_is_repeated(
    variable: str,
    reason: str,
    at: int,
    subnets: list[Subnet],
    visits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "journal"
    monkeypatch.setenv(variable, numbers([at, at + 1]))
    journal, found = profiled(subnets, path)
    (lost,) = [one for one in found if one.failed]
    assert reason in lost.failed
    assert len([one for one in found if not one.failed]) == COUNT - 1
    assert len(visits.read_bytes()) == COUNT + 1  # one new process, and no more of that subnet
    assert (journal.failures, list(journal.passing)) == ({}, [lost.subnet.digest])

    class Told(Silent):
        def note(self, text: str) -> None:
            assert text.startswith("warning: 1 subnets did not run for a reason that may be temporary; repeat")
            assert reason in text
            said.append(text)

    said: list[str] = []
    say_what_may_pass(journal, Told())
    again, found = profiled(subnets, path)
    say_what_may_pass(again, Told())
    assert len(said) == 1
    assert [len(one.rounds_ms) for one in found] == [1] * COUNT
    assert not again.failures
    assert len(visits.read_bytes()) == COUNT + 2


def test_a_row_that_loses_a_round_keeps_the_others(
    subnets: list[Subnet], visits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, path = subnets[:4], tmp_path / "journal"
    monkeypatch.setenv(STICKY, "6 7")
    _, found = profiled(few, path, rounds=2)
    assert sorted(len(one.rounds_ms) for one in found) == [1, 2, 2, 2]
    assert not any(one.failed for one in found)
    _, found = profiled(few, path, rounds=2)
    assert [len(one.rounds_ms) for one in found] == [2] * 4


def test_a_failure_is_final_only_where_the_gpu_still_works(
    subnets: list[Subnet], visits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FULL, "2 3")
    first, *rest = subnets[0].blocks
    refused = replace(subnets[0], blocks=(replace(first, mlp_dim=REFUSED), *rest))
    with worker() as meter:
        with pytest.raises(SubnetFailedError, match="this engine cannot") as e:
            meter.visit(refused)
        assert not e.value.passing
        with pytest.raises(SubnetFailedError, match="out of memory") as e:
            meter.visit(subnets[0])
        assert e.value.passing
        assert meter.visit(subnets[1]).samples_ms
    assert len(visits.read_bytes()) == 4  # what was refused was not tried again
