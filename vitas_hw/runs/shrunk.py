"""What ``shrink`` leaves in a run: the original and the choice side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass

from vitas_hw.core.budget import Budget
from vitas_hw.core.files import write_atomic
from vitas_hw.core.reading import read_json
from vitas_hw.core.records import Record, content, refusing
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.runs.directory import Run

SCHEMA = 1


@dataclass(frozen=True)
class Model(Record):
    """A row: p50 in milliseconds, of the same interleaved run as the other's, and top-1 on the test part."""

    subnet: Subnet
    p50_ms: float
    top1: float | None


@dataclass(frozen=True)
class Shrunk(Record, Tabular):
    """The original and the choice, on ``target``; ``budget`` is what was asked, ``exported`` the file in the run."""

    target: str
    budget: Budget
    original: Model
    choice: Model
    exported: str

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for the original, one for the choice."""
        return [
            {"name": name, "top1": row.top1, "p50_ms": row.p50_ms, "macs": row.subnet.macs, "params": row.subnet.params}
            for name, row in (("original", self.original), ("choice", self.choice))
        ]

    @property
    def speedup(self) -> float:
        """How many times faster the choice is."""
        return self.original.p50_ms / self.choice.p50_ms

    @property
    def lost(self) -> float | None:
        """Top-1 that the choice lacks."""
        ours, its = self.choice.top1, self.original.top1
        return None if ours is None or its is None else its - ours


def read_shrunk(run: Run) -> Shrunk | None:
    """None if the run was not shrunk, or was searched anew since. Raises FileError if the file is broken."""
    if not run.shrunk.exists():
        return None
    with refusing(run.shrunk, "is no comparison of a model with its part"):
        return Shrunk.from_dict(content(read_json(run.shrunk, "the comparison"), SCHEMA))


def write_shrunk(run: Run, shrunk: Shrunk) -> None:
    """Replace the file in one step."""
    write_atomic(run.shrunk, json.dumps({"schema": SCHEMA, **shrunk.to_dict()}, indent=1) + "\n")
