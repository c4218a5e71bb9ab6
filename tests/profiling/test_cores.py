from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vitas_hw.profiling import cores
from vitas_hw.profiling.cores import Cores

# what another measurement does, in a process of its own: hold cores until it is killed
OTHER = """
import sys
from pathlib import Path
from vitas_hw.profiling import cores
cores.cores_for = lambda threads: [3, 2, 0]
held = cores.Cores(int(sys.argv[2]), Path(sys.argv[1]))
print(held.hold(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores_for", lambda threads: [3, 2, 0] if threads < 3 else None)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[int], tuple[str, subprocess.Popen[str]]]]:
    """Starts another measurement of so many threads; says what it got."""
    started: list[subprocess.Popen[str]] = []

    def start(threads: int) -> tuple[str, subprocess.Popen[str]]:
        command = [sys.executable, "-c", OTHER, str(tmp_path), str(threads)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip(), process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_another_measurement_gets_other_cores(
    other: Callable[[int], tuple[str, subprocess.Popen[str]]], tmp_path: Path
) -> None:
    assert other(1)[0] == "[3]"
    mine = Cores(1, tmp_path)
    assert mine.hold() == [2]
    assert not mine.shared
    assert other(1)[0] == "[0]"
    late = Cores(2, tmp_path)
    assert late.hold() == [3, 2]  # there are no others left
    assert late.shared


def test_they_are_free_again_when_a_measurement_ends_or_dies(
    other: Callable[[int], tuple[str, subprocess.Popen[str]]], tmp_path: Path
) -> None:
    mine = Cores(2, tmp_path)
    assert mine.hold() == [3, 2]
    assert other(1)[0] == "[0]"
    mine.release()
    got, process = other(2)
    assert got == "[3, 2]"
    process.kill()
    process.wait()
    assert mine.hold() == [3, 2]


def test_workers_of_one_process_take_turns_on_the_same_cores(
    other: Callable[[int], tuple[str, subprocess.Popen[str]]], tmp_path: Path
) -> None:
    one, two = Cores(1, tmp_path), Cores(1, tmp_path)
    assert one.hold() == one.hold() == two.hold() == [3]
    one.release()
    assert other(1)[0] == "[2]"  # two still holds it
    two.release()
    assert other(1)[0] == "[3]"


def test_where_nothing_can_be_pinned_nothing_is_held(tmp_path: Path) -> None:
    mine = Cores(3, tmp_path)
    assert mine.hold() is None
    assert not mine.shared
    mine.release()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_for_locks_it_measures_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Cores(1, tmp_path / "file").hold() == [3]
