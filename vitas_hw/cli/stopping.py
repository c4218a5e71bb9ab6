"""How a command ends early: by Ctrl-C, or by SIGTERM, which a cluster sends before it kills."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

INTERRUPTED, TERMINATED = 130, 143
_RESUMABLE = ("profile", "train", "search", "retrain", "quickstart")


@dataclass
class Stop:
    """The exit status that shells know, 128 and the signal's number: of Ctrl-C, until SIGTERM comes."""

    status: int = INTERRUPTED


@contextmanager
def sigterm_as_interrupt() -> Iterator[Stop]:
    """Within the block SIGTERM ends the work as Ctrl-C does: files are closed, helpers ended, nothing half written."""
    stop = Stop()

    def interrupt(*_: object) -> None:
        stop.status = TERMINATED
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def say_how_to_go_on(words: Sequence[str], status: int) -> None:
    """One line on stderr on what is kept, and the command that goes on."""
    again = [word for word in words if word != "--fresh"]
    name = next((word for word in words if not word.startswith("-")), "")
    how = "Interrupted." if status == INTERRUPTED else "Ended by SIGTERM."
    kept = "No half-written file is left; to do it again:"
    if name in _RESUMABLE:
        kept = "Timings, evaluations and checkpoints so far are kept; to go on:"
    print(f"{how} {kept}\nvitas-hw {shlex.join(again)}", file=sys.stderr)
