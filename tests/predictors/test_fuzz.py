"""Files of predictors, changed: an error that says so, or the same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vitas_hw as vh
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.operators import operators
from vitas_hw.core.target import Target
from vitas_hw.predictors.boosted import Boosted
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.kinds import KINDS, OLDER_KINDS
from vitas_hw.predictors.predictor import (
    Predictor,
    TablePredictor,
    fit,
    fit_table,
    read_predictor,
    read_table_predictor,
)
from vitas_hw.predictors.registry import Corrected
from vitas_hw.predictors.sealed_file import seal
from vitas_hw.predictors.table import Table
from vitas_hw.predictors.transfer import transfer

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
TABLE = "table"
WAYS = [*KINDS, *OLDER_KINDS, "transfer", TABLE]
OLD = Path(__file__).parent.parent / "older_files" / "v1"


@cache
def made(way: str) -> Predictor | TablePredictor:
    """One of a kind, of so few and jagged latencies that every part is in it and the file is short."""
    if way in OLDER_KINDS:
        return read_predictor(OLD / f"predictor-{way}.json")
    space = vh.load_space("vitas-digits")
    rng = np.random.default_rng(0)
    if way == TABLE:
        values = rng.uniform(1, 9, (60, 2))
        jagged = values[:, 0] * np.where(np.sin(values[:, 0] * 3) > 0, 1.5, 1.0)
        return fit_table(Table(("work", "other"), values, jagged, None, 0), "ms")
    subnets = list(dict.fromkeys(space.sample(rng) for _ in range(150 if way == "xgboost" else 60)))
    macs = operators(subnets).macs
    depth = np.array([subnet.depth for subnet in subnets])
    latency = (0.02 * depth + macs * 2e-8) * np.where(np.sin(macs / 4e6) > 0, 1.3, 1.0) * np.where(macs > 8e7, 1.4, 1.0)
    if way == "transfer":
        old = made("linear")
        assert isinstance(old, Predictor)
        return transfer(old, Measured(subnets[:12], latency[:12], TARGET, space))
    return fit(Measured(subnets, latency, TARGET, space, 0.03, "p", "f"), way)


def latencies(predictor: Predictor | TablePredictor) -> np.ndarray:
    if isinstance(predictor, TablePredictor):
        return predictor.predict(np.array([[1.0, 2.0], [50.0, 0.0]])).latency_ms
    space = predictor.space
    return predictor.predict([space.smallest, space.largest, space.sample(0)]).latency_ms


def read(path: Path, way: str) -> Predictor | TablePredictor:
    return read_table_predictor(path) if way == TABLE else read_predictor(path)


def leaves(data: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from leaves(value, (*path, key))


@cache
def places(way: str) -> list[tuple[Any, ...]]:
    """Of everything in a file, and as often again of the parts other than trees, which are most of it."""
    found = list(leaves(made(way).to_dict()))
    plain = [path for path in found if "booster" not in path]
    return found + plain * (len(found) // len(plain))


def changed(data: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(data))
    part: Any = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = change(part[path[-1]])
    return content


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(-3, 10**10), max_size=4),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(where=st.integers(0, 10**9), value=VALUES)
def test_a_changed_value_is_refused(
    way: str, where: int, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sealed = json.loads(seal(made(way).to_dict()))
    paths = [*places(way), ("sha256",)]
    content = changed(sealed, paths[where % len(paths)], lambda _: value)
    path = tmp_path_factory.getbasetemp() / f"value-{way}.json"
    path.write_text(json.dumps(content))
    if json.dumps(content) == json.dumps(sealed):
        assert np.array_equal(latencies(read(path, way)), latencies(made(way)))
        return
    with pytest.raises(FileError, match=f"value-{way}"):
        read(path, way)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(where=st.integers(0, 10**9), value=VALUES)
def test_a_foreign_value_with_a_fitting_hash_never_crashes(
    way: str, where: int, value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = places(way)
    content = changed(made(way).to_dict(), paths[where % len(paths)], lambda _: value)
    path = tmp_path_factory.getbasetemp() / f"foreign-{way}.json"
    path.write_text(seal(content))
    try:
        found = latencies(read(path, way))
    except InputError:
        return
    assert (np.isfinite(found) & (found > 0)).all()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None)
@given(where=st.integers(0, 10**9), byte=st.integers(0, 255), how=st.sampled_from(["replace", "insert", "delete"]))
def test_a_changed_byte_is_refused_or_changes_nothing(
    way: str, where: int, byte: int, how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(seal(made(way).to_dict()).encode())
    place = where % len(content)
    if how == "insert":
        content.insert(place, byte)
    elif how == "delete":
        del content[place]
    else:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / f"byte-{way}.json"
    path.write_bytes(content)
    try:
        again = read(path, way)
    except FileError:
        return
    assert again.to_dict() == made(way).to_dict()
    assert np.array_equal(latencies(again), latencies(made(way)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_torn_file_is_refused(way: str, share: float, tmp_path: Path) -> None:
    text = seal(made(way).to_dict())
    path = tmp_path / "torn.json"
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(FileError, match=r"torn\.json"):
        read(path, way)


def test_words_of_a_file_that_no_terminal_takes_are_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(seal({**made("linear").to_dict(), "\ud800" * 1000: 1}))
    with pytest.raises(FileError) as caught:
        read_predictor(path)
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 1000


def test_numbers_that_are_none_are_refused_when_predicting() -> None:
    predictor = made(TABLE)
    assert isinstance(predictor, TablePredictor)
    with pytest.raises(InputError, match="no positive, finite number"):
        predictor.predict(np.array([[1.0, 2.0], [np.nan, 2.0]]))


def test_a_latency_of_eleven_days_is_refused_though_the_hash_fits(tmp_path: Path) -> None:
    content = made("linear").to_dict()
    content["model"]["intercept"] = 2e9
    (tmp_path / "days.json").write_text(seal(content))
    with pytest.raises(InputError, match="no positive, finite number of sane size"):
        latencies(read_predictor(tmp_path / "days.json"))


def test_what_is_fuzzed_has_every_part() -> None:
    model = made("xgboost").regression.model
    assert isinstance(model, Boosted)
    assert model.booster
    corrected = made("transfer").regression.model
    assert isinstance(corrected, Corrected)
