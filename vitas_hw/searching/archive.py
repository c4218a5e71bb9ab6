"""Every evaluation of a run's supernet, as it happens: a kill costs at most the one in flight."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import FileError
from vitas_hw.core.files import append_line, cut, write_atomic
from vitas_hw.core.reading import journal_lines
from vitas_hw.core.records import each_line, from_json

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
        first = next(iter(each_line(path, lines[:1], dict, hint=_ANEW)), wanted)
        if (first.get("schema"), first.get("kind")) != (SCHEMA, "evaluations"):
            raise FileError(f"{path} holds no evaluations of schema {SCHEMA}.", _ANEW)
        if not lines or first != wanted:
            write_atomic(path, json.dumps(wanted, separators=(",", ":")) + "\n")
        else:
            each_line(path, lines[1:], archive._read, hint=_ANEW, first=2)
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

    def _read(self, line: dict[str, Any]) -> None:
        if line.get("ended"):
            self._measured.pop(str(line["search"]), None)
        elif "measured_ms" in line:
            found = from_json(dict[str, float], line["measured_ms"], "measured_ms")
            self._measured.setdefault(str(line["search"]), []).append(found)
        else:
            top1 = from_json(float, line["top1"], "top1")
            if not 0 <= top1 <= 1:
                raise ValueError(f"the top-1 {top1:g} is no share")
            self._top1[*_subnet_of(line), from_json(int, line["part"], "part")] = top1


def evaluation_times(path: Path) -> dict[tuple[str, tuple[int, ...] | None], float]:
    """When each (digest, layers) of an archive's file was last evaluated, in seconds since the epoch; empty without it.

    Raises:
        FileError: a line other than a torn last one is broken.
    """
    lines, _ = journal_lines(path, "the evaluations", hint=_ANEW)
    found = {}

    def read(line: dict[str, Any]) -> None:
        if "subnet" in line and "at" in line:
            found[_subnet_of(line)] = from_json(float, line["at"], "at")

    each_line(path, lines, read, hint=_ANEW)
    return found


def _subnet_of(line: dict[str, Any]) -> tuple[str, tuple[int, ...] | None]:
    return from_json(str, line["subnet"], "subnet"), from_json(tuple[int, ...] | None, line.get("layers"), "layers")
