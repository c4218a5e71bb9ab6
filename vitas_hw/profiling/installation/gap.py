"""What the doctor tells of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gap:
    """A missing requirement, in half a sentence, and what meets it.

    Args:
        what: is missing.
        line: a command of the system's that meets it; empty if none does.
        step: a step of ours that does instead, and its ``settings``.
    """

    what: str
    line: str = ""
    step: str = ""
    settings: tuple[tuple[str, str], ...] = ()
