"""Predictions of subnets given in words, or of the rows of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.reading import read_text
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.regression import Prediction
from vitas_hw.predictors.shipped import load_predictor
from vitas_hw.predictors.table import read_table, read_table_predictor


def predict_subnets(words: Sequence[str], name_or_path: str | Path) -> tuple[list[str], Prediction]:
    """Predictions of subnets given in words, and their names.

    Args:
        words: names of published subnets, ``smallest``, ``largest`` or ``random:SEED`` of the predictor's space, the
            JSON of a subnet, or a file of it.
        name_or_path: of the predictor.

    Raises:
        InputError: an unknown name, or a subnet that the predictor is not for.
        FileError: a file that is missing or broken.
    """
    predictor = load_predictor(name_or_path)
    subnets = [_subnet(word, predictor.space) for word in words]
    names = [
        subnet.digest if word.lstrip().startswith("{") else word for word, subnet in zip(words, subnets, strict=True)
    ]
    return names, predictor.predict(subnets)


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


def _subnet(word: str, space: SearchSpace) -> Subnet:
    if word in ("smallest", "largest"):
        return space.smallest if word == "smallest" else space.largest
    if word in PUBLISHED:
        return published_subnet(word)
    if re.fullmatch(r"random:\d{1,9}", word):
        return space.sample(int(word.removeprefix("random:")))
    if word.lstrip().startswith("{"):
        return Subnet.from_json(word)
    if word.endswith(".json"):
        return Subnet.from_json(read_text(Path(word), "the subnet"))
    raise one_of(word, [*PUBLISHED, "smallest", "largest", "random:SEED", "JSON", "FILE.json"], "subnet")
