"""The standard streams as people leave them: closed, or of an old locale."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

_objects: list[str] = []  # printed by the command that runs now


def fit_streams() -> None:
    """Makes the standard streams fit to print to.

    A closed one becomes the null device: otherwise Python prints to stdout what is for stderr, and the next file that
    is opened takes its number, so that what libraries print lands in that file. A letter that the locale's encoding
    lacks is written as an escape.
    """
    _objects.clear()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def print_object(result: dict[str, Any]) -> None:
    """The one object that a command prints as JSON on stdout; any other one after it is dropped.

    Of a command that is interrupted it is what was done by then, if that is of use, and not the interruption.
    """
    if not _objects:
        _objects.append(json.dumps(result, default=str))
        print(_objects[0])


def all_written() -> bool:
    """Whether stdout and stderr take what is left to write. What they do not take is dropped: Python would try once
    more at its end, and end with a status of its own.
    """
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # full, nobody reads it, or closed
            whole = False
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
    return whole
