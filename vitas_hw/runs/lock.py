"""One process at a time in a directory."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import writing

NAME = ".lock"
_TRIES, _PAUSE_S = 8, 0.25


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the directory, which is made if need be, for the block. The system lets go of it when the
    process ends, by kill -9 too.

    Windows has no such lock: there nothing is held.

    Raises:
        InputError: another process holds it; tells which.
        WriteError: nothing can be written there.
    """
    path = folder / NAME
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    try:
        if sys.platform != "win32":
            _hold(descriptor, folder)
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode())
        try:
            yield
        finally:
            if made and os.listdir(folder) == [NAME]:  # nothing came of it
                path.unlink()
                for parent in made:
                    with suppress(OSError):  # another process has put something there
                        parent.rmdir()
    finally:
        os.close(descriptor)


def _hold(descriptor: int, folder: Path) -> None:
    import fcntl

    for last in (*[False] * _TRIES, True):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not last:  # of a process that was killed, helpers live a moment longer and hold the lock with it
                time.sleep(_PAUSE_S)
                continue
            holder = os.pread(descriptor, 200, 0).decode("utf-8", errors="replace").strip() or "of unknown number"
            raise InputError(
                f"The run {folder} is being worked on by the process {holder}.",
                "Wait until it has ended, or give another directory with --run.",
            ) from error
        return
