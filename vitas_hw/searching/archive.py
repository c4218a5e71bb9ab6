"""Every evaluation of a run's supernet, as it happens: a kill costs at most the one in flight."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vitas_hw.core.errors import FileError
from vitas_hw.core.files import append_line, cut, write_atomic
from vitas_hw.core.operators import Ints
from vitas_hw.core.reading import journal_lines
from vitas_hw.core.records import each_line, from_json
from vitas_hw.searching.scores import Halves, Score, joined

SCHEMA = 2
FRESH = "Add `fresh` to begin anew."
Where = tuple[str, tuple[int, ...] | None]  # digest, blocks of the supernet
Key = tuple[str, tuple[int, ...] | None, int]  # and part of the search split
Code = tuple[int, ...]


class Final(NamedTuple):
    """What a choice's fine-tuning to its end came to: the loss on the search split, the precision that it was computed
    in, and the seed that repeats it.
    """

    loss: float
    precision: str
    seed: int


class Archive:
    """Scores by (digest, layers, part), and what was measured of finalists; JSON Lines, one write a line.

    Searches of one run share it: whatever an earlier one has evaluated is known to the next. In memory only until
    ``open`` gives it a file.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._scores: dict[Key, Score] = {}
        self._codes: dict[Where, Code] = {}
        self._begun: dict[str, int] = {}
        self._rounds: dict[tuple[str, str], list[dict[str, float]]] = {}
        self._latencies: dict[str, list[tuple[str, dict[str, float]]]] = {}
        self._made_by: dict[Key, str] = {}
        self._search = ""  # that evaluates now
        self._final: dict[Where, Final] = {}

    @classmethod
    def open(cls, path: Path, header: dict[str, Any]) -> Archive:
        """The archive of ``path``, continued if it was begun with the same header, begun anew otherwise.

        One of schema 1 is begun anew too: it has no losses to rank by.

        Args:
            path: the file.
            header: what a score depends on besides its key: hashes of weights and images, the parts, the device.

        Raises:
            FileError: a line other than a torn last one is broken.
        """
        archive = cls()
        wanted = {"schema": SCHEMA, "kind": "evaluations", **json.loads(json.dumps(header))}
        lines, torn = journal_lines(path, "the evaluations", hint=FRESH)
        first = next(iter(each_line(path, lines[:1], dict, hint=FRESH)), wanted)
        if first.get("kind") != "evaluations" or first.get("schema") not in range(1, SCHEMA + 1):
            raise FileError(f"{path} holds no evaluations of schema {SCHEMA}.", FRESH)
        if not lines or first != wanted:
            write_atomic(path, json.dumps(wanted, separators=(",", ":")) + "\n")
        else:
            each_line(path, lines[1:], archive._read, hint=FRESH, first=2)
            if torn is not None:
                cut(path, torn)
        archive.path = path
        return archive

    def __len__(self) -> int:
        return len(self._scores)

    def __contains__(self, key: Key) -> bool:
        return key in self._scores

    def __getitem__(self, key: Key) -> Score:
        return self._scores[key]

    def add(self, key: Key, score: Score, code: Sequence[int] | Ints) -> None:
        """Keep one evaluation of the subnet that a canonical code means."""
        digest, layers, part = key
        genes = tuple(int(gene) for gene in code)
        self._keep(key, score, genes)
        found = {"loss": score.loss, "top1": score.top1, "images": score.images, "losses": _as_text(score.losses)}
        told = {**_told((digest, layers)), "code": genes, "part": part, **found, "at": round(time.time(), 3)}
        self._append(told)

    def begin(self, search: str) -> int:
        """A search begins or goes on. How many evaluations were known when it first began."""
        self._begin(search)
        self._append({"search": search, "begun": True})
        return self._begun[search]

    def known(self, parts: int, first: int | None = None) -> dict[Where, tuple[Code, Score]]:
        """Code and score of what other searches have evaluated on all of so many parts, in order, by (digest, layers).

        What the present one has evaluated itself it finds again by asking for it, so that it goes on after a kill as it
        would have gone on without. ``first`` looks at that many evaluations only.
        """
        found: dict[Where, dict[int, Score]] = {}
        for digest, layers, part in islice(self._scores, first):
            if not self._search or self._made_by[digest, layers, part] != self._search:
                found.setdefault((digest, layers), {})[part] = self._scores[digest, layers, part]
        return {
            where: (self._codes[where], joined([scores[part] for part in range(parts)]))
            for where, scores in found.items()
            if scores.keys() == set(range(parts))
        }

    def measured(self, search: str, target: str) -> list[dict[str, float]]:
        """The rounds of measurements (digest to milliseconds) of a search that has not ended, in order."""
        return list(self._rounds.get((search, target), []))

    def add_measured(self, search: str, target: str, found: dict[str, float]) -> None:
        """Keep one round of finalists' measurements."""
        self._keep_measured(search, target, found)
        self._append({"search": search, "target": target, "measured_ms": found})

    def latencies(self, target: str) -> dict[str, float]:
        """What subnets measured last on a target, by digest, but for the present search if that has not ended."""
        found: dict[str, float] = {}
        for search, measured in self._latencies.get(target, []):
            if not search or search != self._search:
                found |= measured
        return found

    @property
    def final(self) -> dict[Where, Final]:
        """What the choices of earlier searches came to."""
        return dict(self._final)

    def add_final(self, where: Where, final: Final) -> None:
        """Keep what a choice came to."""
        self._final[where] = final
        self._append({**_told(where), "final_loss": final.loss, "precision": final.precision, "seed": final.seed})

    def end(self, search: str) -> None:
        """A search has ended: begun again, it measures anew."""
        self._forget(search)
        self._append({"search": search, "ended": True})

    def _keep_measured(self, search: str, target: str, found: dict[str, float]) -> None:
        self._rounds.setdefault((search, target), []).append(found)
        self._latencies.setdefault(target, []).append((search, found))

    def _forget(self, search: str) -> None:
        self._search = "" if self._search == search else self._search
        for key in [key for key in self._rounds if key[0] == search]:
            del self._rounds[key]
        for target, rounds in self._latencies.items():
            self._latencies[target] = [("" if by == search else by, found) for by, found in rounds]

    def _begin(self, search: str) -> None:
        self._begun.setdefault(search, len(self))
        self._search = search

    def _keep(self, key: Key, score: Score, code: Code) -> None:
        self._made_by.setdefault(key, self._search)
        self._scores[key] = score
        self._codes[key[:2]] = code

    def _append(self, line: dict[str, Any]) -> None:
        if self.path is not None:
            append_line(self.path, line)

    def _read(self, line: dict[str, Any]) -> None:
        if "begun" in line:
            self._begin(str(line["search"]))
        elif line.get("ended"):
            self._forget(str(line["search"]))
        elif "measured_ms" in line:
            found = from_json(dict[str, float], line["measured_ms"], "measured_ms")
            self._keep_measured(str(line["search"]), from_json(str, line["target"], "target"), found)
        elif "final_loss" in line:
            loss, precision = (from_json(float, line["final_loss"], "final_loss"), str(line["precision"]))
            self._final[_subnet_of(line)] = Final(loss, precision, from_json(int, line["seed"], "seed"))
        else:
            loss, top1 = (from_json(float, line[name], name) for name in ("loss", "top1"))
            score = Score(loss, top1, from_json(int, line["images"], "images"), _from_text(line["losses"]))
            code = from_json(tuple[int, ...], line["code"], "code")
            self._keep((*_subnet_of(line), from_json(int, line["part"], "part")), score, code)


def evaluation_times(path: Path) -> dict[Where, float]:
    """When each (digest, layers) of an archive's file was last evaluated, in seconds since the epoch; empty without it.

    Raises:
        FileError: a line other than a torn last one is broken.
    """
    lines, _ = journal_lines(path, "the evaluations", hint=FRESH)
    found = {}

    def read(line: dict[str, Any]) -> None:
        if "subnet" in line and "at" in line:
            found[_subnet_of(line)] = from_json(float, line["at"], "at")

    each_line(path, lines, read, hint=FRESH)
    return found


def _told(where: Where) -> dict[str, Any]:
    digest, layers = where
    return {"subnet": digest} if layers is None else {"subnet": digest, "layers": list(layers)}


def _as_text(losses: Halves) -> str:
    return base64.b64encode(losses.astype("<f2").tobytes()).decode("ascii")


def _from_text(text: Any) -> Halves:
    return np.frombuffer(base64.b64decode(from_json(str, text, "losses"), validate=True), "<f2").astype(np.float16)


def _subnet_of(line: dict[str, Any]) -> Where:
    return from_json(str, line["subnet"], "subnet"), from_json(tuple[int, ...] | None, line.get("layers"), "layers")
