from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.predictors.cross_validation import folds
from vitas_hw.predictors.predictor import fit_table, read_predictor, read_table_predictor, save_predictor
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.predictors.table import read_table


def write(path: Path, count: int, **columns: object) -> Path:
    rng = np.random.default_rng(0)
    gmacs, params = rng.uniform(0.1, 4, count), rng.uniform(1, 30, count)
    rows = {"model": [f"m{i // 5}" for i in range(count)], "gmacs": gmacs, "params": params, "ms": 1 + 3 * gmacs}
    rows = {**rows, **columns}
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_column_is_predicted_from_the_others(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", 60), "ms", "model")
    assert table.names == ("gmacs", "params")
    predictor = fit_table(table, "ms")
    fresh = read_table(write(tmp_path / "fresh.csv", 40), None, wanted=predictor.names)
    found = predictor.predict(fresh.values)
    assert found.latency_ms == pytest.approx(1 + 3 * fresh.values[:, 0], rel=0.01)
    path = tmp_path / "p.json"
    save_predictor(predictor, path)
    again = read_table_predictor(path)
    assert np.array_equal(again.predict(fresh.values).latency_ms, found.latency_ms)
    assert path.read_text() == seal(again.to_dict())
    assert not again.predict(np.array([[100.0, 1.0]])).inside[0]
    with pytest.raises(FileError):
        read_predictor(path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"column": "other"}))
    with pytest.raises(FileError, match="was changed"):
        read_table_predictor(path)


def test_the_rows_of_a_group_stay_together() -> None:
    groups = np.repeat(np.arange(13), np.arange(1, 14))
    split = folds(len(groups), 0, groups)
    assert sorted(np.concatenate([test for _, test in split]).tolist()) == list(range(len(groups)))
    for train, test in split:
        assert not set(groups[train]) & set(groups[test])


def test_rows_without_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    ms = [*["nan", "-1", "0", "", "fast", "inf", "1e999"], *np.arange(1.0, 54.0)]
    table = read_table(write(tmp_path / "t.csv", 60, ms=ms), "ms")
    assert (len(table.values), table.dropped) == (53, 7)


@pytest.mark.parametrize("kind", ["xgboost", "linear"])
@pytest.mark.parametrize("count", [20, 100])
def test_constant_and_duplicated_rows_give_a_result(kind: str, count: int, tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", count, gmacs=[1] * count, params=[2] * count, ms=[3] * count), "ms")
    assert fit_table(table, "ms", kind).predict(np.array([[1.0, 2.0]])).latency_ms[0] == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must name every column"),
        ("a,b\n", "no row"),
        ("a,a\n1,2\n", "must name every column"),
        ("a,ms\n1,2,3\n", "row 2, has 3 fields"),
        ("a,b\n1,2\n", "no column 'ms'"),
        ("a,ms\nx,2\n", "no numeric column"),
        ("a,ms\n1,-2\n", "no row with positive numbers"),
        ('a,ms\n"1,2\n', "Cannot read the table"),
    ],
)
def test_what_is_no_table_is_one_sentence(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_table(path, "ms")


def test_the_kind_flops_needs_a_column_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 20)
    assert fit_table(read_table(path, "ms"), "ms", "flops").regression.kind == "flops"
    path.write_text(path.read_text().replace("gmacs", "depth"))
    with pytest.raises(InputError, match=r"^The kind 'flops' needs a column of MACs or FLOPs\. Name it so that"):
        fit_table(read_table(path, "ms"), "ms", "flops")


def test_eight_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 20 rows"):
        fit_table(read_table(write(tmp_path / "t.csv", 8), "ms"), "ms")
