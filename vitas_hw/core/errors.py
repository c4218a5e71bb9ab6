"""Errors that people read: one sentence on what is wrong, one on what to do about it, and the same as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

_SHOWN = 160  # characters of what was given, in an error
_MARKED = re.compile(r"(?<!`)`([a-z][a-z0-9_]*)(?:=([^`]*))?`(?!`)")


def written(text: str, name: Callable[[str], str], equals: str = "=") -> str:
    """A text with each argument in backticks as ``name`` writes it, ``equals`` between it and its value.

    Example:
        >>> written("Leave out `max_time_s=3`.", str.upper)
        'Leave out MAX_TIME_S=3.'
    """

    def one(found: re.Match[str]) -> str:
        return name(found[1]) + ("" if found[2] is None else equals + found[2])

    return _MARKED.sub(one, text)


class VitasError(Exception):
    """An error that a user can understand and act on.

    ``problem`` and ``hint`` name arguments in backticks, alone or with a value (`` `epochs` ``, `` `epochs=3` ``), so
    that the command line can show them as options. The attributes and ``str()`` have no backticks.

    Args:
        problem: one sentence on what was given and what is allowed.
        hint: what to do about it; empty if the problem says it.
        field: the argument at fault.
        value: what was given for it.
        allowed: the allowed values, in words.
        step: the step of a run that has to come first: ``profile``, ``train``, ``search`` ...
        listed: items below ``problem``, one per line.

    Example:
        >>> try:
        ...     vh.Run("runs/digits").train(epochs=0)
        ... except vh.VitasError as error:
        ...     print(error.field, error.value, error.allowed)
        epochs 0 at least 1
    """

    exit_status = 1

    def __init__(
        self,
        problem: str,
        hint: str = "",
        *,
        field: str = "",
        value: object = None,
        allowed: str = "",
        step: str = "",
        listed: Sequence[str] = (),
    ) -> None:
        # names of files may hold anything
        self._marked = "\n  ".join(map(printable, [problem, *listed])), printable(hint)
        self.problem, self.hint = self.written(lambda name: name)
        self.field, self.value, self.allowed, self.step = field, value, allowed, step
        super().__init__(self.problem)

    def written(self, name: Callable[[str], str], equals: str = "=") -> tuple[str, str]:
        """Problem and hint with each argument as ``name`` writes it, ``equals`` between it and its value."""
        problem, hint = (written(text, name, equals) for text in self._marked)
        return problem, hint

    def __str__(self) -> str:
        first = f"First: {self.step}." if self.step and not self.hint else ""
        return " ".join(filter(None, (self.problem, self.hint, first)))


class InputError(VitasError):
    """The input is wrong (an argument, a file, a name): the command ends with status 2."""

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


def invalid(field: str, value: object, allowed: str, hint: str = "") -> InputError:
    """The error for a value out of range: ``epochs must be at least 1, not 0.``"""
    problem = f"`{field}` must be {allowed}, not {shown(value)}."
    return InputError(problem, hint, field=field, value=value, allowed=allowed)


def one_of(given: object, allowed: Iterable[object], what: str) -> InputError:
    """The error for a name that is not among the known ones; lists them all."""
    names = ", ".join(map(str, allowed))
    return InputError(f"Unknown {what} {shown(str(given))}.", f"Known: {names}.", value=given, allowed=names)


def shown(value: object) -> str:
    """A value as an error shows it: its ``repr``, on one line of bounded length."""
    return brief(repr(value))


def printable(text: str) -> str:
    """Text on one line, without what a terminal would obey: every line break, escape or lone surrogate is a "?"."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def brief(text: str) -> str:
    """Text on one line of bounded length, as far as a terminal can print it."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
