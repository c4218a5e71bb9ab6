"""Broken and hostile input to every reader: each file is read or refused in a sentence; how many, in the log."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from targets import TARGETS, try_one  # noqa: E402  # a module of this folder, which atheris imports too

Recorder = Callable[[str, object], None]
MUTATIONS = 150  # of each kind of file in the normal run
_NASTY = (
    "null", "true", "-1", "0", "1e308", "-0.0", "9223372036854775807", "1e999", "NaN", '""', "[]", "{}", "[[[[]]]]",
    '"\\u0000"', "[1,2]", '{"a":1}', "1048577", "0.5", '"a"', "1.0",
)  # fmt: skip
_RESULTS = "subnet,measurement,round,sample,latency_ms\nx,first,0,0,1.0\nx,first,0,1,-2\n"
_BUDGETS = "4ms-5.5ms 90s 1e3M box-torch-fp32-b1-t1-i32"


def seed_of(name: str) -> bytes:
    path = TARGETS[name][1]
    if path is not None:
        return path.read_bytes()
    return (_RESULTS if name == "results" else _BUDGETS).encode()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes: a value replaced by a nasty one, bytes changed, cut out, doubled, or the end cut off."""
    for _ in range(rng.randint(1, 4)):
        how, at = rng.randrange(5), rng.randrange(len(data) + 1)
        if how == 0:
            values = [match.span() for match in re.finditer(rb'"[^"]*"|-?\d+(\.\d+)?|null|true|false', data)]
            if values:
                start, end = rng.choice(values)
                data = data[:start] + rng.choice(_NASTY).encode() + data[end:]
        elif how == 1:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif how == 2:
            data = data[:at] + data[at + rng.randint(1, 20) :]
        elif how == 3:
            data = data[:at] + data[at : at + 40] * 2 + data[at + 40 :]
        else:
            data = data[:at]
    return data


def try_many(name: str, count: int, seed: int) -> None:
    rng, good = random.Random(f"{name} {seed}"), seed_of(name)  # noqa: S311
    try_one(name, good)
    for number in range(count):
        data = mutated(good, rng)
        try:
            try_one(name, data)
        except Exception as error:
            raise AssertionError(f"{name}, change {number} of seed {seed}: {error!r}: {data[:2000]!r}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name: str, record_property: Recorder) -> None:
    try_many(name, MUTATIONS, 0)
    record_property("tried", f"{name} {MUTATIONS} changed files")


@pytest.mark.full
@pytest.mark.parametrize("name", TARGETS)
def test_many_changed_files_are_read_or_refused(name: str, record_property: Recorder) -> None:
    try_many(name, 50 * MUTATIONS, 1)
    record_property("tried", f"{name} {50 * MUTATIONS} changed files")


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        *(pytest.param(name, 1000, id=f"{name}, normal") for name in ("subnet",)),
        *(
            pytest.param(name, 50_000, id=f"{name}, full", marks=pytest.mark.full)
            for name in ("profile", "predictor", "subnet", "space", "journal", "evaluations", "table")
        ),
    ],
)
def test_atheris_finds_no_way_to_another_error(name: str, inputs: int, record_property: Recorder) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "run_atheris.py"), name, str(inputs)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"tried {inputs}" in done.stdout
    record_property("tried", f"{name} {inputs} by atheris")


def test_the_seeds_are_good_files() -> None:
    for name in ("profile", "predictor", "subnet", "space", "bundle", "search", "candidates", "manifest", "table"):
        TARGETS[name][0](seed_of(name))
