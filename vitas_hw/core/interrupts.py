"""Ctrl-C and SIGTERM that wait for a good moment: a step's end, when everything can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Asked:
    """Which signal asks to stop; None is none."""

    signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def postponed() -> Iterator[Asked]:
    """Within the block the first Ctrl-C or SIGTERM is only noted, for the block to end soon; then it takes effect.

    A second one takes effect at once. Outside of the main thread nothing is postponed: signals do not arrive there.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # a handler that Python did not set cannot be put back, and one that ignores shall go on to
    ours = [number for number in _SIGNALS if before[number] not in (None, signal.SIG_IGN)]

    def restore() -> None:
        for number in ours:
            signal.signal(number, before[number])

    def note(number: int, _: object) -> None:
        asked.signal = number
        restore()

    for number in ours:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        restore()
    if asked.signal is not None:
        signal.raise_signal(asked.signal)
