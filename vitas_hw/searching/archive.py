"""Every evaluation of a run's supernet, as it happens: a kill costs at most the one in flight."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import FileError
from vitas_hw.core.files import append_line, cut, write_atomic
from vitas_hw.core.reading import journal_lines, parse_json, reason

SCHEMA = 1
_ANEW = "Add `fresh` to begin anew."
Key = tuple[str, tuple[int, ...] | None, int]  # digest, blocks of the supernet, part of the search split


class Archive:
    """Top-1 by (digest, layers, part), and finalists' measured latencies by search; JSON Lines, one write a line.

    In memory only until ``open`` gives it a file.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._top1: dict[Key, float] = {}
        self._measured: dict[str, list[dict[str, float]]] = {}

    @classmethod
    def open(cls, path: Path, header: dict[str, Any]) -> Archive:
        """The archive of ``path``, continued if it was begun with the same header, begun anew otherwise.

        Args:
            path: the file.
            header: what a top-1 depends on besides its key: hashes of weights and images, the parts, the device.

        Raises:
            FileError: a line other than a torn last one is broken.
        """
        archive = cls()
        wanted = {"schema": SCHEMA, "kind": "evaluations", **json.loads(json.dumps(header))}
        lines, torn = journal_lines(path, "the evaluations", hint=_ANEW)
        first = _parsed(path, 1, lines[0]) if lines else wanted
        if (first.get("schema"), first.get("kind")) != (SCHEMA, "evaluations"):
            raise FileError(f"{path} holds no evaluations of schema {SCHEMA}.", _ANEW)
        if not lines or first != wanted:
            write_atomic(path, json.dumps(wanted, separators=(",", ":")) + "\n")
        else:
            for number, line in enumerate(lines[1:], 2):
                archive._read(path, number, line)
            if torn is not None:
                cut(path, torn)
        archive.path = path
        return archive

    def __len__(self) -> int:
        return len(self._top1)

    def __contains__(self, key: Key) -> bool:
        return key in self._top1

    def __getitem__(self, key: Key) -> float:
        return self._top1[key]

    def add(self, key: Key, top1: float) -> None:
        """Keep one evaluation."""
        self._top1[key] = top1
        digest, layers, part = key
        where = {} if layers is None else {"layers": list(layers)}
        self._append({"subnet": digest, **where, "part": part, "top1": top1, "at": round(time.time(), 3)})

    def measured(self, search: str) -> list[dict[str, float]]:
        """The rounds of measurements (digest to milliseconds) of a search that has not ended, in order."""
        return list(self._measured.get(search, []))

    def add_measured(self, search: str, found: dict[str, float]) -> None:
        """Keep one round of finalists' measurements."""
        self._measured.setdefault(search, []).append(found)
        self._append({"search": search, "measured_ms": found})

    def end(self, search: str) -> None:
        """A search has ended: begun again, it measures anew."""
        self._measured.pop(search, None)
        self._append({"search": search, "ended": True})

    def _append(self, line: dict[str, Any]) -> None:
        if self.path is not None:
            append_line(self.path, line)

    def _read(self, path: Path, number: int, text: str) -> None:
        line = _parsed(path, number, text)
        try:
            if line.get("ended"):
                self._measured.pop(str(line["search"]), None)
            elif "measured_ms" in line:
                found = {str(digest): float(ms) for digest, ms in line["measured_ms"].items()}
                self._measured.setdefault(str(line["search"]), []).append(found)
            else:
                layers = tuple(line["layers"]) if "layers" in line else None
                top1 = float(line["top1"])
                if not 0 <= top1 <= 1:
                    raise ValueError(f"the top-1 {top1:g} is no share")
                self._top1[str(line["subnet"]), layers, int(line["part"])] = top1
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _broken(path, number, reason(error)) from error


def evaluation_times(path: Path) -> dict[tuple[str, tuple[int, ...] | None], float]:
    """When each (digest, layers) of an archive's file was last evaluated, in seconds since the epoch; empty without it.

    Raises:
        FileError: a line other than a torn last one is broken.
    """
    lines, _ = journal_lines(path, "the evaluations", hint=_ANEW)
    found = {}
    for number, text in enumerate(lines, 1):
        line = _parsed(path, number, text)
        if "subnet" in line and "at" in line:
            layers = tuple(line["layers"]) if "layers" in line else None
            found[str(line["subnet"]), layers] = float(line["at"])
    return found


def _parsed(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = parse_json(text)
    except ValueError as error:
        raise _broken(path, number, reason(error)) from error
    if not isinstance(line, dict):
        raise _broken(path, number, "no object")
    return line


def _broken(path: Path, number: int, why: object) -> FileError:
    return FileError(f"{path}, line {number}, is broken: {why}.", _ANEW)
