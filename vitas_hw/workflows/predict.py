"""Predictions of subnets given in words, or of the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.predictors.predictor import read_table_predictor
from vitas_hw.predictors.regression import Prediction
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.predictors.table import read_table
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import subnets_named


def predict_subnets(words: Sequence[str], name_or_path: str | Path | None, run: Run) -> tuple[list[str], Prediction]:
    """Predictions of subnets given in words, and their names.

    Args:
        words: see ``subnets_named``; of the predictor's space, and of the run if it is one of that space.
        name_or_path: of the predictor; None is the one fitted last in the run.
        run: need not exist.

    Raises:
        InputError: an unknown name, a subnet that the predictor is not for, or a run without a predictor.
        FileError: a file that is missing or broken.
    """
    predictor = load_run_predictor(run)[0] if name_or_path is None else load_predictor(name_or_path)
    where = run if run.read()["space"] == predictor.space.to_dict() else predictor.space
    found = [one for word in words for one in subnets_named(word, where)]
    return [one.word for one in found], predictor.predict([one.subnet for one in found])


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
