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

    def step(self, text: str, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """A step of ``total`` parts; call what it yields after each part, with a few words or an empty text."""
        ...


class Silent:
    """Reports nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def step(self, text: str, total: int) -> Iterator[Callable[[str], None]]:  # noqa: ARG002
        """Count nothing."""
        yield lambda detail: None  # noqa: ARG005


SILENT = Silent()
