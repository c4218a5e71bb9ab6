"""Errors as data, and in the words of whoever shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitas_hw.core.errors import FileError, InputError, VitasError, WriteError, brief, invalid, one_of, shown


def test_arguments_are_written_without_their_backticks() -> None:
    error = InputError("`epochs` must be odd, not 2.", "Try `epochs=3`.", field="epochs", value=2, allowed="odd")
    assert (error.problem, error.hint) == ("epochs must be odd, not 2.", "Try epochs=3.")
    assert str(error) == "epochs must be odd, not 2. Try epochs=3."
    assert (error.field, error.value, error.allowed, error.exit_status) == ("epochs", 2, "odd", 2)


def test_whoever_shows_an_error_writes_arguments_in_its_own_way() -> None:
    error = VitasError("`max_time_s` and `epochs=3` are two.", "Leave out `epochs`.")
    assert error.written(lambda name: f"<{name}>", equals=": ") == (
        "<max_time_s> and <epochs>: 3 are two.",
        "Leave out <epochs>.",
    )
    assert str(error) == "max_time_s and epochs=3 are two. Leave out epochs."


@pytest.mark.parametrize("text", ["Type `ls -l`.", "Of ``epochs``.", "`Not` one.", "A lone ` is kept."])
def test_other_marks_stay(text: str) -> None:
    assert VitasError(text).written(str.upper)[0] == text


def test_a_missing_step_is_named() -> None:
    error = InputError("The run has no predictor.", step="profile")
    assert (error.step, error.hint) == ("profile", "")
    assert str(error) == "The run has no predictor. First: profile."
    assert str(InputError("It has none.", "Make one.", step="profile")) == "It has none. Make one."


def test_invalid_and_one_of_carry_what_was_given() -> None:
    error = invalid("epochs", 0, "at least 1", "Try `epochs=1`.")
    assert str(error) == "epochs must be at least 1, not 0. Try epochs=1."
    assert (error.field, error.value, error.allowed) == ("epochs", 0, "at least 1")
    error = one_of("x", ("a", "b"), "letter")
    assert str(error) == "Unknown letter 'x'. Known: a, b."
    assert (error.value, error.allowed) == ("x", "a, b")


def test_what_is_shown_fits_one_line() -> None:
    assert brief("a\n  b\tc\x1b") == "a b c?"
    assert shown("x" * 500) == "'" + "x" * 159 + "..."
    assert shown(None) == "None"


def test_a_file_that_cannot_be_written_is_named() -> None:
    error = WriteError(Path("a/b"), "Permission denied")
    assert (error.path, error.why, error.exit_status) == ("a/b", "Permission denied", 1)
    assert error.problem == "Cannot write 'a/b': Permission denied; what was there before is kept."
    assert isinstance(FileError("x"), InputError)
