"""What the commands print: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from vitas_hw.cli.terminal.streams import print_object
from vitas_hw.core.budget import show_cost
from vitas_hw.core.errors import printable
from vitas_hw.core.subnet import Subnet

OUT = Console(soft_wrap=True, highlight=False)
ERR = Console(stderr=True, soft_wrap=True, highlight=False)
_GAP = 3
_PLAIN_AFTER_S, _PLAIN_EVERY_S = 2.0, 5.0


class Reporter:
    """Progress bars on a terminal, plain lines elsewhere."""

    def note(self, text: str) -> None:
        ERR.print(text, markup=False)

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
        if not ERR.is_terminal:
            yield from _plain(text, total, done)
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
        print(f"{text}: {done}/{total}, {left}. {said}".rstrip(), file=sys.stderr, flush=True)

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


def print_json(result: dict[str, Any]) -> None:
    """One object on stdout."""
    print_object(result)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], beside: Sequence[str] = ()) -> None:
    """A table on stdout, numbers to the right; on a terminal that is wide enough with lines beside it."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        grid.add_column(column, justify="left" if index == 0 else "right", overflow="fold", no_wrap=index == 0)
    for row in rows:
        grid.add_row(*("\n".join(map(printable, cell.split("\n"))) for cell in row))
    chart = Text("\n".join(beside))
    both = OUT.measure(grid).maximum + OUT.measure(chart).maximum + _GAP
    if not beside or not OUT.is_terminal or both > OUT.width:
        OUT.print(grid)
        return
    pair = Table.grid(padding=(0, _GAP))
    pair.add_row(grid, chart)
    OUT.print(pair)


def sizes(subnet: Subnet) -> list[str]:
    """MACs and parameters of a subnet, as columns of a table."""
    return [show_cost(subnet.macs, "macs").removesuffix("MACs"), f"{subnet.params / 1e6:.2f} M"]


def percent(share: float | None) -> str:
    """A share as people read it; a dash for None."""
    return "-" if share is None else f"{share:.1%}"


def milliseconds(value: float | None) -> str:
    """Three digits and the unit; a dash for None."""
    return "-" if value is None else show_cost(value, "latency_ms")
