"""What the commands print: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from vitas_hw.core.budget import show_cost

OUT = Console(soft_wrap=True, highlight=False)
ERR = Console(stderr=True, soft_wrap=True, highlight=False)
_PLAIN_EVERY_S = 10.0


class Reporter:
    """Progress bars on a terminal, plain lines elsewhere."""

    def note(self, text: str) -> None:
        ERR.print(text, markup=False)

    @contextmanager
    def step(self, text: str, total: int) -> Iterator[Callable[[str], None]]:
        if not ERR.is_terminal:
            yield from _plain(text, total)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        with Bars(*columns, console=ERR) as bars:
            task = bars.add_task(text, total=total, detail="")

            def advance(detail: str) -> None:
                bars.advance(task)
                if detail:
                    bars.update(task, detail=detail)

            yield advance


def _plain(text: str, total: int) -> Iterator[Callable[[str], None]]:
    start = last = time.monotonic()
    done = 0

    def advance(detail: str) -> None:
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if now - last >= _PLAIN_EVERY_S or done == total:
            last = now
            left = (now - start) / done * (total - done)
            print(f"{text}: {done}/{total}, {left:.0f} s left. {detail}".rstrip(), file=sys.stderr, flush=True)

    yield advance


def print_json(result: dict[str, Any]) -> None:
    """One object on stdout."""
    print(json.dumps(result))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout, numbers to the right."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        grid.add_column(column, justify="left" if index == 0 else "right", overflow="fold", no_wrap=index == 0)
    for row in rows:
        grid.add_row(*row)
    OUT.print(grid)


def percent(share: float | None) -> str:
    """A share as people read it; a dash for None."""
    return "-" if share is None else f"{share:.1%}"


def milliseconds(value: float | None) -> str:
    """Three digits and the unit; a dash for None."""
    return "-" if value is None else show_cost(value, "latency_ms")
