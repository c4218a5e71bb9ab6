"""Writing files so that a reader, or a kill, never meets half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import WriteError

if sys.platform != "win32":  # where nobody can remove a file that is open
    import fcntl

_LITTER = re.compile(r"\..+\.\w+\.part")  # a process's number; of older versions also the letters of a folder's name


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes ``path``'s place when the block ends, and is removed on an error.

    What a writer of the same file that was killed left there is removed. A symbolic link at ``path`` is replaced, not
    followed. Raises WriteError if there is no room or no permission.
    """
    temporary = _temporary(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_litter_of(path)
        try:
            temporary.touch()
            permissions = stat.S_IMODE(temporary.stat().st_mode)  # what the user's umask gives
            with _held(temporary):
                yield temporary
            temporary.chmod(permissions)  # some libraries write files that only the owner can read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, on the same disk, to move from what was made there; removed at the end.

    What an earlier one for the same path left that was killed is removed. Raises WriteError as ``atomic_path`` does.
    """
    folder = _temporary(path)
    with writing(path):
        _remove_litter_of(path)
        shutil.rmtree(folder, ignore_errors=True)  # of a process that had our number
        folder.mkdir()
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


@contextmanager
def _held(temporary: Path) -> Iterator[None]:
    """Show processes that cannot know our number, of another machine or container, that we live: the system lets go of
    a lock when its process ends.
    """
    if sys.platform == "win32":
        yield
        return
    file = _opened(temporary)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _opened(temporary: Path) -> int:
    how = os.O_RDONLY if temporary.is_dir() else os.O_RDWR  # over NFS who locks has to be able to write
    return os.open(temporary, how | os.O_NOFOLLOW)


def _remove_litter_of(path: Path) -> None:
    """Remove what writers of a file left half-written, unless they may live."""
    for found in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        number = found.name.removeprefix(f".{path.name}.").removesuffix(".part")
        if number.isdecimal() and not _may_live(int(number), found):
            with suppress(OSError):
                shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()


def _may_live(process: int, temporary: Path) -> bool:
    if sys.platform == "win32":
        return False  # what it has open cannot be removed
    try:
        os.kill(process, 0)  # asks only
        return True
    except ProcessLookupError:
        pass
    except (OSError, OverflowError):  # another user's; a number that none has
        return True
    try:
        file = _opened(temporary)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:  # held, or a file system where nobody can tell
        return True
    finally:
        os.close(file)


def remove_litter(folder: Path) -> None:
    """Remove what writers that were killed left half-written in a folder. Only whoever holds the folder may call this:
    of a writer that lives it would be the file that it writes.
    """
    for path in folder.glob(".*.part"):
        if not _LITTER.fullmatch(path.name):
            continue
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def write_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) in one step. Raises WriteError as ``atomic_path`` does."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add a line of JSON in one write, so that a kill tears at most this one. Raises WriteError if it is not whole."""
    data = (json.dumps(line, separators=(",", ":")) + "\n").encode()
    with writing(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        written = file.write(data)
        if written != len(data):  # the disk took a part only
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def cut(path: Path, length: int) -> None:
    """Shorten a file, to forget a torn last line. Raises WriteError."""
    with writing(path), path.open("r+b") as file:
        file.truncate(length)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says against writing to ``path`` into WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(path, error.strerror or str(error)) from error
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise WriteError(path, "this is no file name") from error
