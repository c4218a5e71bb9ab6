"""How long work says what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Where a workflow reports to."""

    def note(self, text: str) -> None:
        """One finished fact."""
        ...

    def step(self, text: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[str], None]]:
        """A step of ``total`` parts, ``done`` of them earlier; call what it yields after each of the others, with a few
        words or an empty text.
        """
        ...


class Silent:
    """Reports nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:  # noqa: ARG002
        """Count nothing."""
        yield lambda detail: None  # noqa: ARG005


SILENT = Silent()


class Numbered:
    """What reports the steps of one part of a longer road: which of how many stands before each.

    Args:
        progress: where to report to.
        place, parts: of the road.
    """

    def __init__(self, progress: Progress, place: int, parts: int) -> None:
        self._progress, self._where = progress, f"[{place}/{parts}] "

    def note(self, text: str) -> None:
        """One finished fact."""
        self._progress.note(text)

    def step(self, text: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[str], None]]:
        """See ``Progress``."""
        return self._progress.step(self._where + text, total, done)
