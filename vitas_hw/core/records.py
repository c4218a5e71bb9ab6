"""Frozen dataclasses as JSON, and back from what a stranger may have written: one strictness for all of our files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from vitas_hw.core.errors import FileError, InputError, brief, shown
from vitas_hw.core.reading import parse_json, reason

T = TypeVar("T")
_ALLOWED = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    dict: "an object",
    Mapping: "an object",
}


class Record:
    """A frozen dataclass that is kept as a JSON object; a field that has its default is left out."""

    def to_dict(self) -> dict[str, Any]:
        """The fields in order, as JSON types."""
        mine = {one: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        return {one.name: to_json(value) for one, value in mine.items() if value != one.default}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Inverse of ``to_dict``. Raises InputError on a missing, unknown or impossible value."""
        return as_fields(cls, data)


def to_json(value: Any) -> Any:
    """A value as JSON types: dataclasses and mappings as objects, lists and tuples as lists."""
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        return {one.name: to_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(one) for key, one in value.items()}
    return [to_json(one) for one in value] if isinstance(value, list | tuple) else value


def from_json(kind: Any, data: Any, where: str = "") -> Any:
    """The value of JSON types that a type hint describes.

    Args:
        kind: a dataclass (with a ``from_dict`` of its own, or read field by field), bool, int, float, str, None, Any,
            Literal, or a tuple, list, dict or union of them.
        data: the value; a float may stand as a whole number, and is finite.
        where: its path, for the error.

    Raises:
        InputError: it is of another type, an object lacks a field or has an unknown one, or a dataclass refuses it.
    """
    if type(data) is kind and kind in (bool, int, str):
        return data
    origin, inside = get_origin(kind) or kind, get_args(kind)
    if origin is UnionType:
        fitting = [one for one in inside if type(data) is one or (data is None and one is NoneType)]
        return None if NoneType in fitting else from_json((fitting or inside)[0], data, where)
    if "from_dict" in getattr(kind, "__dict__", ()):
        return kind.from_dict(data)
    if is_dataclass(kind):
        return as_fields(kind, data, where)  # type: ignore[arg-type]
    if origin is Any:
        return data
    if origin is float and type(data) in (int, float) and abs(data) <= sys.float_info.max:
        return float(data)
    if origin is Literal and (type(data), data) in [(type(one), one) for one in inside]:
        return data
    if origin in (dict, Mapping) and isinstance(data, dict):
        of_key, of_value = inside
        return {
            from_json(of_key, key, where): from_json(of_value, one, _joined(where, key)) for key, one in data.items()
        }
    if origin in (tuple, list) and isinstance(data, list | tuple):
        each = inside if origin is tuple and inside[-1] is not ... else inside[:1] * len(data)
        if len(each) == len(data):
            return origin(from_json(one, data[i], _joined(where, i)) for i, one in enumerate(each))
    names = " or ".join(map(repr, inside)) if origin is Literal else f"a list of {len(inside)}"
    allowed = "a list" if ... in inside or origin is list else _ALLOWED.get(origin, names)
    raise InputError(f"{where or 'It'} must be {allowed}, not {shown(data)}.", field=where, value=data, allowed=allowed)


def content(data: Any, schema: int, kind: str | None = None) -> dict[str, Any]:
    """What a file of ours holds besides its ``schema`` and ``kind``. Raises InputError if they are others."""
    whole: dict[str, Any] = from_json(dict[str, Any], data)
    found = whole.get("schema"), whole.get("kind")
    if found != (schema, kind) or found[0] is True:
        raise InputError(f"It is of kind {shown(found[1])} and schema {shown(found[0])}, not {kind!r} and {schema}.")
    return {name: value for name, value in whole.items() if name not in ("schema", "kind")}


@contextmanager
def refusing(place: object, why: str, hint: str = "", *, step: str = "") -> Iterator[None]:
    """Makes whatever a stranger's file makes its reader raise a FileError.

    Args:
        place: the file, and the line of it.
        why: of the sentence: "is not a bundle's".
        hint, step: of the error; a FileError from within keeps its own.
    """
    try:
        yield
    except FileError as error:
        error.step = error.step or step
        raise
    except (ArithmeticError, AttributeError, InputError, LookupError, RecursionError, TypeError, ValueError) as error:
        said = f"it lacks {reason(error)}" if isinstance(error, KeyError) else reason(error)
        raise FileError(f"{place} {why}: {said}.", hint, step=step) from error


def each_line(
    path: Path,
    lines: Sequence[str],
    read: Callable[[dict[str, Any]], T],
    why: str = "is broken",
    hint: str = "",
    *,
    first: int = 1,
) -> list[T]:
    """What ``read`` makes of the JSON object in each of the lines, counted from ``first``.

    Raises FileError that names the line, see ``refusing``.
    """
    found = []
    for number, line in enumerate(lines, first):
        with refusing(f"{path}, line {number},", why, hint):
            found.append(read(from_json(dict[str, Any], parse_json(line))))
    return found


def as_fields(kind: type[T], data: Any, where: str = "") -> T:
    """A dataclass from the JSON object of its fields, whatever ``from_dict`` it has. Raises as ``from_json`` does."""
    known, needed, derived = _shape(kind)  # type: ignore[arg-type]  # mypy: a class is hashable
    if not isinstance(data, dict) or not needed <= data.keys() <= known.keys() | derived:
        names = ", ".join(name if name in needed else f"[{name}]" for name in known)
        given = brief(", ".join(map(str, data))) if isinstance(data, dict) else shown(data)
        raise InputError(f"{where or kind.__name__} has exactly the fields {names}; given: {given}.", field=where)
    mine = {name: value for name, value in data.items() if name in known}
    return kind(**{name: from_json(known[name], value, _joined(where, name)) for name, value in mine.items()})


@cache
def _shape(kind: Any) -> tuple[dict[str, Any], set[str], set[str]]:
    """Of a dataclass: its hints by field, the fields without a default, and what is written but not read back.

    A field that is not compared is in memory only. ``DERIVED`` of the class names what its JSON holds besides fields.
    """
    hints, mine = get_type_hints(kind), [one for one in fields(kind) if one.compare]
    needed = {one.name for one in mine if one.default is MISSING and one.default_factory is MISSING}
    return {one.name: hints[one.name] for one in mine}, needed, set(getattr(kind, "DERIVED", ()))


def _joined(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)
