"""Predictors as JSON files that say when they were changed: a hash of the content lies inside.

The numbers in a file are checked too, so that a file whose hash was made to fit still gives no crash and no NaN.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, ValidationInfo

from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.reading import parse_json, read_text, reason
from vitas_hw.predictors.features import Floats

Read = TypeVar("Read")


def _known(name: str, info: ValidationInfo) -> str:
    if name not in (info.context or ()):
        raise ValueError(f"there is no column {shown(name)}")
    return name


def _in_order(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError("it is turned round")
    return ends


# What the fields of a model may be in a file; a model that was just fitted is not checked.
Number = Annotated[float, Field(strict=True, ge=-1e30, le=1e30)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31)]
Column = Annotated[str, AfterValidator(_known)]
_Log = Annotated[float, Field(strict=True, ge=-50, le=50)]
LogRange = Annotated[tuple[_Log, _Log], AfterValidator(_in_order)]
Array = Annotated[Floats, PlainValidator(lambda data: np.array(read(list[Number] | list[list[Number]], data)))]


def seal(data: dict[str, Any]) -> str:
    """The text of a predictor's file: ``data`` and the SHA-256 of it. Equal data give equal text.

    Raises ValueError on a number that is not finite.
    """
    return _text({**data, "sha256": _hash(data)}) + "\n"


def read_sealed(
    path: Path, what: str, expected: Mapping[str, Sequence[Any]], build: Callable[[dict[str, Any]], Read]
) -> Read:
    """What ``build`` makes of a file's data.

    Args:
        path: the file.
        what: it should be, for the errors: "a predictor".
        expected: schema and versions, each of which must be one of these.
        build: raises ValueError, KeyError, TypeError or InputError on data that are no such thing.

    Raises:
        FileError: the file is missing, is no JSON, is of another version, was changed, or makes no sense.
    """
    try:
        data = parse_json(read_text(path, "the predictor"))
        if not isinstance(data, dict) or "sha256" not in data:
            raise FileError(f"{path} is not {what}: it holds no content hash.")
        for key, readable in expected.items():
            if data.get(key) not in readable or isinstance(data.get(key), bool):
                known = " and ".join(map(repr, readable))
                problem = f"{path} has {key} {shown(data.get(key))}; this version reads {known}."
                raise FileError(problem, step="fit")
        if data.pop("sha256") != _hash(data):
            problem = f"{path} was changed after it was written: its content does not fit the hash inside."
            raise FileError(problem, step="fit")
        return build(data)
    except FileError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, InputError) as error:
        raise FileError(f"{path} is not {what}: {type(error).__name__}: {reason(error)}.") from error


def read(kind: type[Read], data: Any, columns: Sequence[str] = ()) -> Read:
    """What a type says, of JSON: a dataclass has each of its fields and no other.

    Args:
        kind: its fields are annotated by the types above.
        data: of ``as_json``.
        columns: those that a ``Column`` may be.

    Raises:
        ValueError: on anything else; a field's own reader may also raise KeyError, TypeError or InputError.
    """
    try:
        found: Read = _reader(kind).validate_python((data,), context=columns)[0]  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}") from error
    return found


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    # what a dataclass stands in gives it its configuration
    return TypeAdapter(tuple[kind], config=ConfigDict(extra="forbid", allow_inf_nan=False))


def as_json(value: Any) -> dict[str, Any]:
    """A dataclass, with arrays and other dataclasses in it, as JSON types."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(value), default=np.ndarray.tolist))
    return found


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _hash(data: dict[str, Any]) -> str:
    return hashlib.sha256(_text(data).encode()).hexdigest()
