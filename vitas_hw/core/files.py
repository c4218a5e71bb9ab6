"""Writing files so that a reader, or a kill, never meets half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import WriteError

_LITTER = re.compile(r"\..+\.\w+\.part")  # a process's number, or the letters of a folder's name


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes ``path``'s place when the block ends, and is removed on an error.

    A symbolic link at ``path`` is replaced, not followed. Raises WriteError if there is no room or no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()
            permissions = stat.S_IMODE(temporary.stat().st_mode)  # what the user's umask gives
            yield temporary
            temporary.chmod(permissions)  # some libraries write files that only the owner can read
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


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
