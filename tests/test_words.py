"""The words of the house: only the command line writes options and commands; one spelling for each thing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import typer.main

import vitas_hw
from vitas_hw.cli.main import program

PACKAGE = Path(vitas_hw.__file__).parent
LIBRARY = [path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.relative_to(PACKAGE).parts]
PROGRAM = typer.main.get_command(program())
COMMANDS = PROGRAM.commands  # type: ignore[attr-defined]
PARAMETERS = [param for one in (PROGRAM, *COMMANDS.values()) for param in one.params]
OPTIONS = {word for param in PARAMETERS for word in param.opts if word.startswith("--")}
# `--epochs`, not within a longer word; `vitas-hw train`
TYPED = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, OPTIONS))})(?![\w-])|vitas-hw (?:{'|'.join(COMMANDS)})\b")
FOR_USERS = {  # documents that go out with what was made, and say how it was made; a program with options of its own
    "workflows/profile/bundle_runner.py",
}
OTHER_WORDS = {  # not to be used, and what is
    r"super-?transformer|super-net|one-shot model": "supernet",
    r"sub-?networks?\b|sub-nets?\b|child net": "subnet",
    r"optimis(?!tic)|evolutionary": "optimizer",
    r"\bwinners?\b|\bchampions?\b": "choice",
    r"next_step": "a hint of an error's data",
}
PAPERS_OWN = {"vitas_hw/supernet/supernet.py", "docs/how-it-works.md"}  # the paper's "super-transformer", once each


def strings(path: Path) -> list[str]:
    """Every string of a file: messages, docstrings, the fixed parts of f-strings."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def found_in(pattern: re.Pattern[str], texts: list[str]) -> list[str]:
    return sorted({match[0] for text in texts for match in pattern.finditer(text)})


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_an_option_is_found_in_a_text() -> None:
    said = ["Repeat with --epochs 3.", "`epochs=3`, an --epochs-like one", "Run: vitas-hw train", "vitas-hw trains"]
    assert found_in(TYPED, said) == ["--epochs", "vitas-hw train"]


def test_only_the_command_line_names_options_and_commands() -> None:
    files = {name_of(path): found_in(TYPED, strings(path)) for path in LIBRARY}
    assert {name: words for name, words in files.items() if words and name not in FOR_USERS} == {}


def test_the_exceptions_are_needed() -> None:
    assert {name for name in FOR_USERS if not found_in(TYPED, strings(PACKAGE / name))} == set()


def prose() -> dict[str, str]:
    """What people read: code, templates, documentation, benchmarks."""
    root = PACKAGE.parent
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".jinja", ".css", ".md", ".yaml")]
    files += [*(root / "docs").glob("*.md"), *(root / "benchmarks").rglob("*.py"), *root.glob("*.md")]
    files = [path for path in files if path.name != "CHANGELOG.md"]  # which tells what was, in the words of then
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(files)}


def test_each_thing_has_one_name() -> None:
    other = re.compile("|".join(OTHER_WORDS), re.IGNORECASE)
    found = {name: found_in(other, [text]) for name, text in prose().items()}
    found = {name: words for name, words in found.items() if words}
    assert {name: words for name, words in found.items() if name not in PAPERS_OWN} == {}
    assert found == {name: ["super-transformer"] for name in PAPERS_OWN}


def test_the_papers_own_word_is_said_once_in_each() -> None:
    texts = prose()
    assert {name: texts[name].lower().count("super-transformer") for name in PAPERS_OWN} == dict.fromkeys(PAPERS_OWN, 1)


def test_what_is_not_to_be_used_is_found() -> None:
    said = ["Super-Transformer", "the optimiser", "optimistic", "a subnetwork", "The winner is", "a supernet's subnets"]
    other = re.compile("|".join(OTHER_WORDS), re.IGNORECASE)
    assert found_in(other, said) == ["Super-Transformer", "optimis", "subnetwork", "winner"]
