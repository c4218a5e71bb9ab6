"""The standard streams as people leave them: closed, or of an old locale."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def fit_streams() -> None:
    """Makes the standard streams fit to print to.

    A closed one becomes the null device: otherwise Python prints to stdout what is for stderr, and the next file that
    is opened takes its number, so that what libraries print lands in that file. A letter that the locale's encoding
    lacks is written as an escape.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115  # for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
