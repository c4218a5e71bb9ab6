"""When work ends early: the time allowed for it is over, or Ctrl-C or SIGTERM asks for it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vitas_hw.core.budget import parse_duration
from vitas_hw.core.errors import VitasError
from vitas_hw.core.settings import setting, settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
now = time.monotonic  # the one clock of all deadlines: tests put their own here


@settings
class TimeAllowed:
    """``max_time_s``: the work ends within a step, a visit or a candidate of so many seconds; None is never."""

    max_time_s: float | None = setting(
        default=None,
        help="Time limit: 90s, 30m, 8h.",
        group="Device and time",
        above=0,
        reads=parse_duration,
        runs=True,
    )


class TimeIsUpError(VitasError):
    """The time allowed ended before there was anything to hand over; what was done by then is kept."""

    def __init__(self, before: str) -> None:
        super().__init__(
            f"Time is up before {before}.",
            "Repeat the command with more `max_time_s`: what was done and kept is not done again.",
        )


@dataclass(frozen=True)
class Deadline:
    """Handed down to whatever takes long, which asks it after each step, visit or candidate.

    Args:
        at: on the monotonic clock; infinity is never.
        signals: those that asked to stop while they were noted; parts of a deadline share them.

    Example:
        >>> Deadline.after(None).over()
        False
    """

    at: float = math.inf
    signals: list[int] = field(default_factory=list, repr=False)

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; None is never."""
        return cls() if seconds is None else cls(now() + seconds)

    def over(self) -> bool:
        """Whether to end now."""
        return bool(self.signals) or now() >= self.at

    def check(self, before: str) -> None:
        """Raises TimeIsUpError, which says before what, if it is over."""
        if self.over():
            raise TimeIsUpError(before)

    def left(self) -> float:
        """Seconds until it is over; infinity is never."""
        return 0.0 if self.over() else self.at - now()

    def part(self, share: float) -> Deadline:
        """One that ends when that share of the time left from now is over."""
        start = now()
        return self if math.isinf(self.at) else replace(self, at=start + share * (self.at - start))

    @contextmanager
    def noting_signals(self) -> Iterator[Deadline]:
        """Within the block the first Ctrl-C or SIGTERM only ends the deadline; after the block it takes effect.

        So it does instead of a TimeIsUpError that it has brought about. A second one takes effect at once. Outside of
        the main thread nothing is noted: signals do not arrive there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        # a handler that Python did not set cannot be put back, and one that ignores shall go on to
        ours = [number for number in _SIGNALS if before[number] not in (None, signal.SIG_IGN)]

        def restore() -> None:
            for number in ours:
                signal.signal(number, before[number])

        noted = []

        def note(number: int, _: object) -> None:
            noted.append(number)
            self.signals.append(number)
            restore()

        for number in ours:
            signal.signal(number, note)
        try:
            yield self
        except TimeIsUpError:
            restore()
            if noted:
                signal.raise_signal(noted[0])
            raise
        finally:
            restore()
        if noted:
            signal.raise_signal(noted[0])


NEVER = Deadline()
