"""Files that were made to harm: each is refused in one sentence, without waiting, and stays as it was."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitas_hw.core.errors import FileError, InputError, brief, shown
from vitas_hw.core.reading import MOST_BYTES, journal_lines, open_regular, parse_json, read_json, read_text

GIBIBYTE = 2**30


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * GIBIBYTE)


def bound_socket(path: Path) -> None:
    os.chdir(path.parent)  # a socket's name is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (sparse, "10,737,418,240 bytes, more than the 67,108,864 allowed"),
        (os.mkfifo, "it is a pipe, not a regular file"),
        (Path.mkdir, "it is a directory, not a regular file"),
        (bound_socket, "Cannot read the thing"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"\xff\xfe{}"), "byte 0 is not UTF-8 text"),
        (lambda path: None, "No such file or directory"),
    ],
)
def test_what_is_no_plain_text_file_is_refused_at_once(
    make: Callable[[Path], Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(FileError) as caught:
        read_text(path, "the thing")
    assert said in caught.value.problem
    assert caught.value.problem.startswith("Cannot read the thing")
    assert caught.value.exit_status == 2


def test_a_nul_in_a_name_is_no_file_name() -> None:
    with pytest.raises(FileError, match=r"^Cannot read the thing 'a\\x00b': this is no file name\.$"):
        read_text(Path("a\0b"), "the thing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9" * 5000, "is too large a whole number"),
        (str(2**64), "is too large a whole number"),
        ('{"a":1,"b":2,"a":3}', "the name 'a' stands twice in one object"),
        ("[" * 65 + "]" * 65, "nested more than 64 levels deep"),
        ("[" * 10**6, "nested more than 64 levels deep"),
        ('{"a":' * 10**5, "nested more than 64 levels deep"),
        ('"' + '\\"' * 10**5 + "[" * 100, "it is no JSON at line 1"),
        ("{,}", "it is no JSON at line 1, column 2"),
        ("", "it is no JSON at line 1, column 1"),
    ],
)
def test_json_beyond_the_standard_or_beyond_measure_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(text)
    assert said in str(caught.value)
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(FileError, match="holds no JSON that can be read") as refused:
        read_json(path, "the file")
    assert len(str(refused.value)) < 400 + len(str(path))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)  # fmt: skip


@given(JSON, st.booleans())
@settings(max_examples=200, deadline=None)
def test_good_json_is_read_as_the_standard_library_does(value: Any, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only)) == value


def test_brackets_within_text_are_no_levels() -> None:
    value = ["[" * 500, '\\"[' * 100]
    assert parse_json(json.dumps(value)) == value


def test_a_torn_last_line_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert journal_lines(path, "the journal") == ([], None)
    path.write_bytes(b"one\ntwo\nthr\xff")
    assert journal_lines(path, "the journal") == (["one", "two"], 8)
    assert path.read_bytes() == b"one\ntwo\nthr\xff"


def test_a_size_is_allowed_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with open_regular(path, "the file", most=5) as file:
        assert file.read() == b"12345"
    assert MOST_BYTES > 10**7


def test_what_an_error_shows_is_one_printable_line_of_bounded_length() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert brief("a\n\x1b[31mb") == "a ?[31mb"
    assert len(shown([0] * 10**5)) < 200
    assert InputError(shown("x")).problem == "'x'"
