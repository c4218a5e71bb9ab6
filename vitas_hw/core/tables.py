"""Results as tables: rows of named cells, for a notebook and for pandas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Generic, TypeVar

from vitas_hw.core.errors import VitasError

if TYPE_CHECKING:
    import pandas as pd

Cell = str | int | float | bool | None
Row = TypeVar("Row")
_MOST_SHOWN = 20  # rows in a notebook


class Tabular(ABC):
    """What can be seen as a table."""

    @property
    def title(self) -> str:
        """What the table is of."""
        return type(self).__name__

    @abstractmethod
    def to_dicts(self) -> list[dict[str, Cell]]:
        """The table as a dictionary for each row, all of the same keys."""

    def to_pandas(self) -> pd.DataFrame:
        """The table as a data frame of pandas, which is imported now.

        Raises:
            VitasError: pandas is not installed.

        Example:
            >>> vh.Run("runs/digits").found.front.to_pandas()  # needs pandas  # doctest: +SKIP
        """
        return frame_of(self.to_dicts())

    def _repr_html_(self) -> str:
        """The table as a notebook shows it; of many rows the first."""
        return html_of(self.title, self.to_dicts())


class Rows(tuple[Row, ...], Tabular, Generic[Row]):
    """A tuple of results of one kind that is a table too.

    Args:
        items: the results.
        cells: of one of them, by the names of the columns.
        title: what the table is of.

    Example:
        >>> rows = vh.Run("runs/digits").found.front
        >>> len(rows), rows[0].macs == rows.to_dicts()[0]["macs"]
        (2, True)
    """

    _cells: Callable[[Row], dict[str, Cell]]
    _title: str

    def __new__(cls, items: Iterable[Row], cells: Callable[[Row], dict[str, Cell]], title: str) -> Rows[Row]:
        made = super().__new__(cls, items)
        made._cells, made._title = cells, title
        return made

    @property
    def title(self) -> str:
        return self._title

    def to_dicts(self) -> list[dict[str, Cell]]:
        return [self._cells(one) for one in self]


def shown(cell: Cell) -> str:
    """A cell as people read it: four digits of a fraction, nothing for None."""
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def frame_of(rows: Sequence[Mapping[str, Cell]]) -> pd.DataFrame:
    """Rows of the same keys as a data frame. Raises VitasError if pandas is not installed."""
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise VitasError("A data frame needs pandas, which is not installed.", "Run: pip install pandas") from error
    return pd.DataFrame(list(rows))


def html_of(title: str, rows: Sequence[Mapping[str, Cell]]) -> str:
    """Rows of the same keys as a table in HTML; of many the first."""
    names = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(shown(row[name]))}</td>" for name in names) + "</tr>"
        for row in rows[:_MOST_SHOWN]
    )
    more = f"<p>and {len(rows) - _MOST_SHOWN} more</p>" if len(rows) > _MOST_SHOWN else ""
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
