"""What times the start of commands times all of them, and judges by the median."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import startup


def test_each_call_ends_as_it_says_and_is_timed_each_round() -> None:
    calls = {name: startup.CALLS[name] for name in (startup.BARE, "runs", "a refused run")}
    found = startup.measured(calls, 2)
    assert {name: len(times) for name, times in found.items()} == dict.fromkeys(calls, 2)
    assert min(min(times) for row in found.values() for times in row) > 0
    with pytest.raises(RuntimeError, match="ended with 2"):
        startup.measured({"wrong": startup.ours("train", "--epochs", "0")}, 1)


@pytest.mark.parametrize(("wall", "met"), [(0.69, True), (0.71, False)])
def test_the_goal_is_under_twice_numpy_and_three_tenths(wall: float, met: bool) -> None:
    found = startup.summary({startup.BARE: [(0.2, 0.1)] * 3, "runs": [(wall, 0.1), (wall, 0.1), (9.0, 0.1)]})
    assert found["goal_s"] == 0.7
    assert (found["met"], found["calls"]["runs"]["met"]) == (met, met)
