"""The one way in for files that anybody may have made: regular, of bounded size, UTF-8, strict JSON."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from vitas_hw.core.errors import FileError, brief

MOST_BYTES = 64 * 2**20  # of one document: the largest of ours has some hundred kilobytes
MOST_LINES_BYTES = 512 * 2**20  # of a file of lines, which grows with what was measured
_AT_ONCE = 2**20
_DEEPEST = 64  # levels of JSON: ours have at most eight
_LARGEST = 2**64  # of JSON's whole numbers: hashes have 64 bits
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)  # one pass, an unclosed string too


def open_regular(path: Path | str, what: str, *, most: int | None = None, hint: str = "") -> io.BufferedReader:
    """An open regular file, to be closed by the caller; a pipe is not waited for, a device not touched.

    Args:
        path: the file; a symbolic link is followed.
        what: it should be, with its article, for the errors: "the profile".
        most: bytes allowed; None is any number, for readers that map the file.
        hint: of the error.

    Raises:
        FileError: it is missing, no regular file, too large, or its name holds a NUL character.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise FileError(f"Cannot read {what} {path}: {error.strerror}.", hint) from error
    except ValueError as error:  # a NUL character, or a lone surrogate
        raise FileError(f"Cannot read {what} {str(path)!r}: this is no file name.", hint) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FileError(f"Cannot read {what} {path}: it is {_kind(found.st_mode)}, not a regular file.", hint)
    file = os.fdopen(descriptor, "rb")
    if most is not None and found.st_size > most:
        file.close()
        raise FileError(
            f"Cannot read {what} {path}: it has {found.st_size:,} bytes, more than the {most:,} allowed.", hint
        )
    return file


def check_regular(path: Path, what: str, *, most: int | None = None, hint: str = "") -> int:
    """The size of a regular file in bytes, before a library opens it by name. Raises as ``open_regular`` does."""
    with open_regular(path, what, most=most, hint=hint) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, what: str, *, most: int = MOST_BYTES, hint: str = "") -> bytes:
    """The content of a regular file of at most ``most`` bytes. Raises FileError as ``open_regular`` does."""
    with open_regular(path, what, most=most, hint=hint) as file:
        parts, left = [], most
        try:
            while part := file.read(min(left, _AT_ONCE)):  # asked for all that is allowed, it would set that much aside
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
        except OSError as error:
            raise FileError(f"Cannot read {what} {path}: {error.strerror}.", hint) from error


def read_text(path: Path, what: str, *, most: int = MOST_BYTES, encoding: str = "utf-8", hint: str = "") -> str:
    """The same as text, line ends as they are. Raises FileError also if it is not UTF-8."""
    content = read_bytes(path, what, most=most, hint=hint)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(f"Cannot read {what} {path}: byte {error.start} is not UTF-8 text.", hint) from error


def parse_json(text: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity, no name twice in one object; numbers that a double or 64
    bits can hold; at most 64 levels.

    Raises ValueError, which says in a few words why.
    """
    if _depth(text) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    try:
        return json.loads(
            text, object_pairs_hook=_once_each, parse_constant=_no_number, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path, what: str, *, most: int = MOST_BYTES, hint: str = "") -> Any:
    """The value of a JSON file. Raises FileError on anything that ``read_text`` or ``parse_json`` refuses."""
    text = read_text(path, what, most=most, hint=hint)
    try:
        return parse_json(text)
    except ValueError as error:
        raise FileError(f"{path} holds no JSON that can be read: {reason(error)}.", hint) from error


def journal_lines(path: Path, what: str, *, hint: str = "") -> tuple[list[str], int | None]:
    """The whole lines of an append-only file, none if it is not there; a line torn off by a kill is left out.

    Returns:
        The lines, and the length in bytes to which to cut the file; None if its last line is whole.
    """
    if not os.path.lexists(path):
        return [], None
    content = read_bytes(path, what, most=MOST_LINES_BYTES, hint=hint)
    whole, _, torn = content.rpartition(b"\n")
    lines = whole.decode("utf-8", errors="replace").split("\n") if whole else []
    return lines, (len(whole) + 1 if whole else 0) if torn else None


def reason(error: Exception) -> str:
    """What an error says, on one line of bounded length, without a full stop."""
    return brief(str(error) or type(error).__name__).rstrip(". ")


def _depth(text: str) -> int:
    """Levels of brackets; those in strings do not count."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return 0
    return max(_levels(text), default=0)


def _levels(text: str) -> Iterator[int]:
    level = 0
    for token in _TOKENS.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        yield level


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:40]!r} stands twice in one object")
        found[name] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= _LARGEST:
        raise ValueError(f"{text[:40]} is too large a whole number")
    return int(text)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open_regular(path, "the file") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
