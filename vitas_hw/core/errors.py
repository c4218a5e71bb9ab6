"""Errors that people read: one sentence on what is wrong, one on what to do next."""

from __future__ import annotations

_SHOWN = 160  # characters of what was given, in an error


class VitasError(Exception):
    """Something a user can understand and act on.

    Args:
        problem: one sentence: what was given and what is allowed.
        next_step: what to do or type now; empty if the problem says it.
    """

    exit_status = 1

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.problem} {self.next_step}".rstrip()


class InputError(VitasError):
    """The input is wrong (an option, a file, a name): the command ends with status 2."""

    exit_status = 2


class FileError(InputError):
    """A file is missing, broken, foreign or of another schema."""


class WriteError(VitasError):
    """A file cannot be written: the disk is full, the folder read-only. An earlier file of that name is whole.

    Args:
        path: the file.
        why: in half a sentence, as the system says it.
    """

    def __init__(self, path: object, why: str) -> None:
        super().__init__(
            f"Cannot write {str(path)!r}: {why}; what was there before is kept.",
            "Make room or give permission there, then repeat the command.",
        )
        self.path, self.why = str(path), why


class InfeasibleBudgetError(InputError):
    """No subnet of the space fits the budget."""


def one_of(given: object, allowed: object, what: str) -> InputError:
    """The error for a name that is not among the known ones; lists them all."""
    names = ", ".join(str(name) for name in allowed)  # type: ignore[attr-defined]
    return InputError(f"Unknown {what} {shown(str(given))}.", f"Known: {names}.")


def shown(value: object) -> str:
    """A value as an error shows it: its ``repr``, on one line of bounded length."""
    return brief(repr(value))


def brief(text: str) -> str:
    """Text on one line of bounded length, as far as a terminal can print it."""
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
