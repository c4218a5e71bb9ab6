"""Every sentence that the package can say to a user: its form, and that a test has read it.

Arguments in backticks may be quoted as a library writes them, `` `max_time_s=3` `` without the backticks, or as the
command line does. Errors made by ``invalid`` and ``one_of`` have no text of their own: tests ask for their data.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vitas_hw
from vitas_hw.cli.from_settings import in_options
from vitas_hw.core.errors import VitasError

PACKAGE = Path(vitas_hw.__file__).parent
TESTS = Path(__file__).parent
ERRORS = {"InputError", "FileError", "VitasError", "InfeasibleBudgetError", "OtherSettingsError", "ParityError"}
_SHORTEST = 6  # letters of a piece of a message that a test must quote


@dataclass(frozen=True)
class Message:
    """A sentence: where it is, and its fixed pieces between what is put in."""

    place: str
    pieces: tuple[str, ...]
    plain: str  # with ... for what is put in


def pieces_of(node: ast.expr) -> list[str | None]:
    """The constant parts of a text; None for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [part for value in node.values for part in pieces_of(value)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return pieces_of(node.left) + pieces_of(node.right)
    return [None]


@cache
def messages() -> tuple[Message, ...]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in ERRORS and node.args:
                parts = pieces_of(node.args[0])
                fixed = tuple(part for part in parts if part)
                plain = "".join("..." if part is None else part for part in parts)
                if any(re.search(r"\w{3}", part) for part in fixed):
                    found.append(Message(str(path.relative_to(PACKAGE)), fixed, plain))
    return tuple(found)


@cache
def said_in_tests() -> str:
    """All text of the tests, without what regular expressions escape, and without backticks."""
    files = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    return re.sub(r"\\(.)", r"\1", "\n".join(path.read_text() for path in files)).replace("`", "")


def ways_to_quote(piece: str) -> set[str]:
    """A piece of a message as a library writes it, and as the command line does."""
    problem, _ = in_options(VitasError(piece))
    return {VitasError(piece).problem.replace("`", ""), problem.replace("`", "")}


def is_tested(message: Message) -> bool:
    """Whether some test quotes a piece of it: two words in a row, or all of a shorter one."""
    text = said_in_tests()
    for piece in (way for one in message.pieces for way in ways_to_quote(one)):
        words = piece.strip(" .,:;'()").split()
        quotes = [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]
        if any(len(quote) >= _SHORTEST and quote in text for quote in quotes):
            return True
    return False


def test_arguments_are_quoted_in_either_form() -> None:
    assert ways_to_quote("`max_time_s=3` is short; `") == {"max_time_s=3 is short; ", "--max-time 3 is short; "}


def test_every_message_is_read_by_a_test() -> None:
    """A new message needs a test of its text."""
    untested = {f"{message.place}: {message.plain}" for message in messages() if not is_tested(message)}
    assert untested == set(), "no test quotes these"


def test_each_is_one_sentence() -> None:
    for message in messages():
        assert "\n" not in message.plain, message
        assert "Traceback" not in message.plain, message
        assert message.plain.endswith((".", "...")), message
        assert "  " not in message.plain, message


def test_there_are_many() -> None:
    assert len(messages()) > 150
