"""What the commands print: results on stdout, progress and notes on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitas_hw.cli.terminal.streams import print_object
from vitas_hw.core.budget import show_cost
from vitas_hw.core.errors import printable
from vitas_hw.core.subnet import Subnet
from vitas_hw.report.progress import ERR as ERR
from vitas_hw.report.progress import Reporter as Reporter

OUT = Console(soft_wrap=True, highlight=False)
_GAP = 3


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
