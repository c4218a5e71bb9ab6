"""Anybody's table: a predictor of one numeric column of a CSV file from the others."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.predictors.calibration import Calibration
from vitas_hw.predictors.features import FeatureTable, Floats, Inputs
from vitas_hw.predictors.kinds import Model, fit_model, held_out_predictions, kind_named
from vitas_hw.predictors.predictor import FEWEST, Prediction
from vitas_hw.predictors.scores import scores
from vitas_hw.predictors.storage import exactly, number, numbers, read_sealed, text, whole, write_sealed

TABLE_SCHEMA = 1
_WORK = ("mac", "flop")  # a column named so stands for the whole work
_FIELDS = ("schema", "file", "kind", "column", "features", "seed", "samples", "metrics", "calibration", "seen", "model")
_FILE = "table predictor"


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

    @property
    def inputs(self) -> Inputs:
        return table_inputs(self.names, self.values)


def table_inputs(names: Sequence[str], values: Floats) -> Inputs:
    """Examples for the kinds: a line may use every column that is never negative, first the one of the whole work."""
    work = next((name for part in _WORK for name in names if part in name.lower()), None)
    physical = tuple(name for name, column in zip(names, values.T, strict=True) if (column >= 0).all())
    nested: list[tuple[str, ...]] = [(work,)] if work in physical and work is not None else []
    if len(physical) > len(nested):
        nested.append(physical)
    return Inputs(FeatureTable(tuple(names), values, tuple(nested), work if work in physical else None))


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
            raise InputError(f"{path} has no column {name!r}.", f"Its columns: {', '.join(header)}.")
    numeric = {name: np.array([_number(row[name]) for row in rows]) for name in header}
    if wanted is None:
        wanted = [
            name for name in header if name not in (column, group) and np.isfinite(numeric[name]).sum() * 2 > len(rows)
        ]
    if not wanted:
        raise InputError(f"{path} has no numeric column to predict from.", f"Its columns: {', '.join(header)}.")
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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"Cannot read the table {path}: {error}.") from error
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


@dataclass(frozen=True)
class TablePredictor:
    """Predicts one column of a table from others; fields as in ``Predictor``."""

    kind: str
    column: str
    names: tuple[str, ...]
    model: Model
    calibration: Calibration
    seen: tuple[tuple[float, float], ...]
    metrics: dict[str, float | None]
    seed: int
    samples: int

    def predict(self, values: Floats) -> Prediction:
        """Of (N, F) rows of ``names``; the numbers are in the unit of the column.

        Raises:
            InputError: another number of columns.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise InputError(f"This predictor needs the columns {', '.join(self.names)}.")
        found = self.model.predict(table_inputs(self.names, values))
        least, most = np.asarray(self.seen).T
        inside = ((values >= least) & (values <= most)).all(axis=1)
        return Prediction(found, *self.calibration.interval(found), inside)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": TABLE_SCHEMA,
            "file": _FILE,
            "kind": self.kind,
            "column": self.column,
            "features": list(self.names),
            "seed": self.seed,
            "samples": self.samples,
            "metrics": self.metrics,
            "calibration": self.calibration.to_dict(),
            "seen": [list(bounds) for bounds in self.seen],
            "model": self.model.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> TablePredictor:
        """Inverse of ``to_dict``. Raises ValueError, KeyError, TypeError or InputError on anything else."""
        exactly(data, _FIELDS)
        names = tuple(text(name) for name in data["features"])
        if not names or len(set(names)) < len(names):
            raise ValueError("the columns are not named once each")
        return cls(
            kind=text(data["kind"]),
            column=text(data["column"]),
            names=names,
            model=kind_named(data["kind"]).load(data["model"], names),
            calibration=Calibration.from_dict(data["calibration"]),
            seen=tuple((least, most) for least, most in numbers(data["seen"], len(names), 2).tolist()),
            metrics={text(k): None if value is None else number(value) for k, value in data["metrics"].items()},
            seed=whole(data["seed"], 0, 2**32 - 1),
            samples=whole(data["samples"], 1, 2**31),
        )


def fit_table(
    table: Table, column: str, kind: str = "xgboost", seed: int = 0, held_out: Floats | None = None
) -> TablePredictor:
    """Fit a predictor to a table; ``held_out`` (N,) are its kind's held-out predictions if they are known already.

    Raises:
        InputError: fewer than 20 usable rows, or a kind that a table cannot have.
    """
    check_rows(table)
    assert table.target is not None
    if held_out is None:
        held_out = held_out_predictions(kind, table.inputs, table.target, seed, table.groups)
    seen = zip(table.values.min(axis=0).tolist(), table.values.max(axis=0).tolist(), strict=True)
    return TablePredictor(
        kind=kind,
        column=column,
        names=table.names,
        model=fit_model(kind, table.inputs, table.target, seed, table.groups),
        calibration=Calibration.of(held_out, table.target),
        seen=tuple(seen),
        metrics={**scores(held_out, table.target), "noise_floor": None},
        seed=seed,
        samples=len(table.target),
    )


def check_rows(table: Table) -> None:
    """Raise InputError if there are too few rows to fit."""
    if len(table.values) < FEWEST:
        raise InputError(
            f"A predictor needs at least {FEWEST} rows with numbers in every column; the table has {len(table.values)}"
            f" ({table.dropped} without)."
        )


def save_table_predictor(predictor: TablePredictor, path: Path) -> None:
    """Write the JSON file in one step; equal predictors give equal bytes."""
    write_sealed(predictor.to_dict(), path)


def read_table_predictor(path: Path) -> TablePredictor:
    """Read a table predictor's file. Raises FileError as ``read_predictor`` does."""
    expected = {"file": _FILE, "schema": TABLE_SCHEMA}
    return read_sealed(path, "a predictor of a table's column", expected, TablePredictor.from_dict)
