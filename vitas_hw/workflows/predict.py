"""Predictions of subnets given in words, or of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.core.tables import Rows
from vitas_hw.predictors.predictor import read_table_predictor
from vitas_hw.predictors.regression import Prediction
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.runs.artifacts import known_predictor, load_run_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import subnets_named


def predict_subnets(words: Sequence[str], name_or_path: str | Path | None, run: Run) -> tuple[list[str], Prediction]:
    """Predictions of subnets given in words, and their names.

    Args:
        words: see ``subnets_named``; of the predictor's space, and of the run if it is one of that space.
        name_or_path: of a shipped predictor or one of the run, or a file; None is the one fitted last in the run.
        run: need not exist.

    Raises:
        InputError: an unknown name, a subnet that the predictor is not for, or a run without a predictor.
        FileError: a file that is missing or broken.
    """
    known = None if name_or_path is None else known_predictor(run, name_or_path)
    predictor = load_run_predictor(run)[0] if known is None else load_predictor(known)
    where = run if run.read()["space"] == predictor.space.to_dict() else predictor.space
    found = [one for word in words for one in subnets_named(word, where)]
    return [one.word for one in found], predictor.predict([one.subnet for one in found])


@dataclass(frozen=True)
class Predicted:
    """A subnet's latency in milliseconds, with the interval that covers 90% of measurements; ``inside`` is False where
    it lies outside what the predictor has seen, and the interval does not hold.
    """

    name: str
    latency_ms: float
    lower_ms: float
    upper_ms: float
    inside: bool


def predict_rows(words: Sequence[str], name_or_path: str | Path | None, run: Run) -> Rows[Predicted]:
    """The same as rows. Args and errors as of ``predict_subnets``."""
    names, found = predict_subnets(words, name_or_path, run)
    columns = (column.tolist() for column in found)
    rows = [Predicted(*row) for row in zip(names, *columns, strict=True)]
    return Rows(rows, lambda one: dict(vars(one)), "Predicted, with 90% intervals")


def predict_csv(path: Path, name_or_path: str | Path) -> tuple[list[str], Prediction]:
    """Predictions of the rows of a table, and the rows' numbers.

    Raises:
        FileError: a file that is missing, broken, or no predictor of a table's column.
        InputError: a column that is not there; a row without a number.
    """
    predictor = read_table_predictor(Path(name_or_path))
    table = read_table(path, None, wanted=predictor.names)
    if table.dropped:
        raise InputError(f"{table.dropped} row(s) of {path} have no number in one of {', '.join(predictor.names)}.")
    return [f"row {row + 1}" for row in range(len(table.values))], predictor.predict(table.values)
