"""Predictors as JSON files that say when they were changed: a hash of the content lies inside.

The numbers in a file are checked too, so that a file whose hash was made to fit still gives no crash and no NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.files import write_atomic
from vitas_hw.core.reading import parse_json, read_text, reason
from vitas_hw.predictors.features import Floats

Read = TypeVar("Read")
_MOST_MAGNITUDE = 1e30


def seal(data: dict[str, Any]) -> str:
    """The text of a predictor's file: ``data`` and the SHA-256 of it. Equal data give equal text.

    Raises ValueError on a number that is not finite.
    """
    return _text({**data, "sha256": _hash(data)}) + "\n"


def write_sealed(data: dict[str, Any], path: Path) -> None:
    """Write ``seal(data)`` in one step."""
    write_atomic(path, seal(data))


def read_sealed(path: Path, what: str, expected: dict[str, Any], build: Callable[[dict[str, Any]], Read]) -> Read:
    """What ``build`` makes of a file's data.

    Args:
        path: the file.
        what: it should be, for the errors: "a predictor".
        expected: schema and versions, which must be equal.
        build: raises ValueError, KeyError, TypeError or InputError on data that are no such thing.

    Raises:
        FileError: the file is missing, is no JSON, is of another version, was changed, or makes no sense.
    """
    try:
        data = parse_json(read_text(path, "the predictor"))
        if not isinstance(data, dict) or "sha256" not in data:
            raise FileError(f"{path} is not {what}: it holds no content hash.")
        for key, value in expected.items():
            if data.get(key) != value or isinstance(data.get(key), bool):
                problem = f"{path} has {key} {shown(data.get(key))}; this version reads {value!r}."
                raise FileError(problem, step="fit")
        if data.pop("sha256") != _hash(data):
            problem = f"{path} was changed after it was written: its content does not fit the hash inside."
            raise FileError(problem, step="fit")
        return build(data)
    except FileError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, InputError) as error:
        raise FileError(f"{path} is not {what}: {type(error).__name__}: {reason(error)}.") from error


def number(value: Any) -> float:
    """A finite float of sane size. Raises ValueError on anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MOST_MAGNITUDE:
        raise ValueError(f"{shown(value)} is not a finite number")
    return float(value)


def numbers(values: Any, *shape: int | None) -> Floats:
    """An array of finite floats of a shape; None stands for any length. Raises ValueError on anything else."""
    if not isinstance(values, list):
        raise ValueError(f"{shown(values)} is not a list")
    if len(values) != (len(values) if shape[0] is None else shape[0]):
        raise ValueError(f"a list has {len(values)} parts, not {shape[0]}")
    if len(shape) == 1:
        return np.array([number(value) for value in values], np.float64)
    return np.array([numbers(value, *shape[1:]) for value in values]).reshape(len(values), *shape[1:])


def whole(value: Any, least: int, most: int) -> int:
    """An integer between bounds. Raises ValueError on anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{shown(value)} is not a whole number from {least} to {most}")
    return value


def text(value: Any) -> str:
    """A string. Raises ValueError on anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text")
    return value


def exactly(data: Any, fields: Sequence[str]) -> dict[str, Any]:
    """``data`` if it is an object of exactly these fields. Raises ValueError on anything else."""
    if not isinstance(data, dict) or set(data) != set(fields):
        raise ValueError(f"the fields are {', '.join(fields)}, not {', '.join(map(str, data)) or 'none'}")
    return data


def as_json(value: Any) -> Any:
    """Dataclasses, arrays and tuples as JSON types."""
    if is_dataclass(value):
        return {one.name: as_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: as_json(one) for key, one in value.items()}
    return [as_json(one) for one in value] if isinstance(value, list | tuple) else value


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _hash(data: dict[str, Any]) -> str:
    return hashlib.sha256(_text(data).encode()).hexdigest()
