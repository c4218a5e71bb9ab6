"""Anybody's table: examples of one numeric column of a CSV file from the others."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import FileError, InputError, brief
from vitas_hw.core.reading import read_text, reason
from vitas_hw.predictors.examples import FEWEST, Examples
from vitas_hw.predictors.features import FeatureTable, Floats

_WORK = ("mac", "flop")  # a column named so stands for the whole work


@dataclass(frozen=True)
class Table:
    """N rows of a CSV file.

    Args:
        names: of the F numeric columns to predict from.
        values: (N, F).
        target: (N,) the column to predict, positive; None where the file is only predicted from.
        groups: (N,) the group of each row, or None.
        dropped: rows without a usable number somewhere.
    """

    names: tuple[str, ...]
    values: Floats
    target: Floats | None
    groups: Any
    dropped: int

    def examples(self) -> Examples:
        """To fit to. Raises InputError if there are too few rows."""
        if len(self.values) < FEWEST:
            raise InputError(
                f"A predictor needs at least {FEWEST} rows with numbers in every column; the table has"
                f" {len(self.values)} ({self.dropped} without)."
            )
        assert self.target is not None
        return Examples(table_of(self.names, self.values), self.target, self.groups)


def table_of(names: Sequence[str], values: Floats) -> FeatureTable:
    """Examples for the kinds: a line may use every column that is never negative, first the one of the whole work."""
    work = next((name for part in _WORK for name in names if part in name.lower()), None)
    physical = tuple(name for name, column in zip(names, values.T, strict=True) if (column >= 0).all())
    size = work if work in physical else None
    nested = tuple(dict.fromkeys(some for some in ((size,) if size else (), physical) if some))
    return FeatureTable(tuple(names), values, nested, size)


def read_table(path: Path, column: str | None, group: str | None = None, wanted: Sequence[str] | None = None) -> Table:
    """Read a CSV file with a header.

    Args:
        path: the file.
        column: to predict; None only reads what to predict from.
        group: rows of one value of this column lie in one fold.
        wanted: columns to predict from; None takes all that are numeric, in every row or in most.

    Raises:
        FileError: the file is missing or is no table.
        InputError: a column is not there or is not numeric; says which there are.
    """
    header, rows = _read_csv(path)
    for name in (column, group, *(wanted or ())):
        if name is not None and name not in header:
            raise InputError(f"{path} has no column {name!r}.", f"Its columns: {brief(', '.join(header))}.")
    numeric = {name: np.array([_number(row[name]) for row in rows]) for name in header}
    if wanted is None:
        wanted = [
            name for name in header if name not in (column, group) and np.isfinite(numeric[name]).sum() * 2 > len(rows)
        ]
    if not wanted:
        raise InputError(f"{path} has no numeric column to predict from.", f"Its columns: {brief(', '.join(header))}.")
    values = np.stack([numeric[name] for name in wanted], axis=1)
    usable = np.isfinite(values).all(axis=1)
    if column is not None:
        usable &= np.isfinite(numeric[column]) & (numeric[column] > 0)
        if not usable.any():
            raise InputError(f"{path} has no row with positive numbers in {column!r} and numbers in the other columns.")
    groups = None if group is None else np.array([row[group] for row in rows])[usable]
    target = None if column is None else numeric[column][usable]
    return Table(tuple(wanted), values[usable], target, groups, int((~usable).sum()))


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    content = read_text(path, "the table", encoding="utf-8-sig")
    try:
        lines = [line for line in csv.reader(io.StringIO(content, newline=""), strict=True) if line]
    except csv.Error as error:
        raise FileError(f"Cannot read the table {path}: {reason(error)}.") from error
    header = [name.strip() for name in lines[0]] if lines else []
    if not header or len(set(header)) < len(header) or "" in header:
        raise FileError(f"{path} is no table: its first line must name every column once.")
    for number_of_line, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise FileError(f"{path}, row {number_of_line}, has {len(line)} fields; the header has {len(header)}.")
    if len(lines) < 2:
        raise FileError(f"{path} has a header and no row.")
    return header, [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        return math.nan
    return value if abs(value) <= 1e30 else math.nan
