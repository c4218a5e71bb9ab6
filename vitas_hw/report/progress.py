"""Progress for people: bars on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

ERR = Console(stderr=True, soft_wrap=True, highlight=False)
_PLAIN_AFTER_S, _PLAIN_EVERY_S = 2.0, 5.0
_WIDE = 120  # columns of a terminal that has room for long bars and both times


class _Detail(ProgressColumn):
    """A few words that give way to the other columns where there is no room."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["detail"], no_wrap=True, overflow="ellipsis")


class Reporter:
    """Progress bars on a terminal, plain lines elsewhere.

    Example:
        >>> progress = vh.Reporter()
        >>> progress.note("halfway")
        >>> with progress.step("counting", total=2) as advance:
        ...     advance("one")
        ...     advance("two")
    """

    def note(self, text: str) -> None:
        """One finished fact, as a line; on a terminal not broken within a word."""
        ERR.print(text, markup=False, soft_wrap=not ERR.is_terminal)

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
        """A step of ``total`` parts, ``done`` of them earlier; call what it yields after each of the others."""
        if not total:
            yield lambda detail: None  # noqa: ARG005  # as where no images are files
            return
        if not ERR.is_terminal:
            yield from _plain(text, total, done)
            return
        wide = ERR.width >= _WIDE
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(40 if wide else 12, table_column=Column(no_wrap=True)),
            MofNCompleteColumn(),
            *([TimeElapsedColumn()] if wide else []),
            TimeRemainingColumn(elapsed_when_finished=not wide),
            _Detail(table_column=Column()),
        )
        with Bars(*columns, console=ERR) as bars:
            task = bars.add_task(text, total=total, completed=done, detail="")

            def advance(detail: str) -> None:
                bars.advance(task)
                if detail:
                    bars.update(task, detail=detail)

            yield advance


def _plain(text: str, total: int, begun: int) -> Iterator[Callable[[str], None]]:
    """A line every few seconds, by a thread: a part that takes minutes is told of too; a brief step has none."""
    start = time.monotonic()
    done, said = begun, ""
    ended = Event()

    def tell() -> None:
        passed = time.monotonic() - start
        left = f"{passed / (done - begun) * (total - done):.0f} s left" if done > begun else f"{passed:.0f} s so far"
        print(f"{text}: {done}/{total}, {left}. {said}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    def tell_now_and_then() -> None:
        wait = _PLAIN_AFTER_S
        while not ended.wait(wait):
            tell()
            wait = _PLAIN_EVERY_S

    def advance(detail: str) -> None:
        nonlocal done, said
        done, said = done + 1, detail or said
        if done == total and time.monotonic() - start > _PLAIN_AFTER_S:
            tell()

    teller = Thread(target=tell_now_and_then, name="progress", daemon=True)
    teller.start()
    try:
        yield advance
    finally:
        ended.set()
        teller.join()
