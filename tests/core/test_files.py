from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vitas_hw.core.files import atomic_path, folder_beside, write_atomic

WRITER = """
import sys
from pathlib import Path
from vitas_hw.core.files import atomic_path, folder_beside
with globals()[sys.argv[1]](Path(sys.argv[2])) as temporary:
    (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, "one")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def writer(kind: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the middle of writing, and where it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, kind, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


@pytest.mark.parametrize("kind", ["atomic_path", "folder_beside"])
def test_the_next_writer_removes_what_a_killed_one_left(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "[report].html"
    with writer(kind, path) as (process, temporary):
        write_atomic(path, "while it lives")
        assert temporary.exists()
        process.kill()
        process.wait()
        write_atomic(path.with_name("report.html"), "another file's")
        assert temporary.exists()
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["[report].html", "report.html"]


def test_a_writer_of_another_machine_or_container_is_let_alone(tmp_path: Path) -> None:
    """Whose number no process has here."""
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    temporary = path.with_name(f".file.{int(done.stdout)}.part")
    with temporary.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_atomic(path, "new")
        assert temporary.exists()
    write_atomic(path, "new")
    assert not temporary.exists()


def test_what_is_no_temporary_file_of_ours_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    names = [
        ".file.part",
        ".file.x.part",
        ".file.1.2.part",
        ".file.gz.123456789.part",
        ".file.99999999999999999999.part",
    ]
    for name in names:
        (tmp_path / name).touch()
    write_atomic(path, "new")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*names, "file"])


def test_a_folder_beside_is_empty_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "model"
    left = tmp_path / f".model.{os.getpid()}.part"  # of a process that had our number
    left.mkdir()
    (left / "half").touch()
    with folder_beside(path) as folder:
        assert not list(folder.iterdir())
        (folder / "model").touch()
        (folder / "model").rename(path)
    assert list(tmp_path.iterdir()) == [path]
