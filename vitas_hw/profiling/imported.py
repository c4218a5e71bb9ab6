"""Bundles measured elsewhere: what was planned, and the table of latencies that came back."""

from __future__ import annotations

import csv
import math
import statistics
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.reading import MOST_LINES_BYTES, open_regular, parse_json, read_text, reason
from vitas_hw.core.records import as_fields, content, refusing, to_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import LONGEST_MS

SCHEMA = 1
COLUMNS = ("subnet", "measurement", "round", "sample", "latency_ms")
_VISIT = ("measurement", "round", "subnet")  # of a visit in the plan
ANCHOR = "anchor"  # the measurement of the anchor's rows
Key = tuple[str, int, str]  # measurement, round, digest
_LONGEST_LINE = 2**16  # bytes
_NEXT = "Correct the file, or remove it and measure again."


@dataclass(frozen=True)
class Bundle:
    """What a bundle asks to be measured.

    Args:
        space: whose subnets they are.
        batch_size, precision: of the models.
        seed: of the order.
        subnets: by digest, in the order in which they were chosen.
        anchor: timed before each visit.
        timing: how long to time, the fields of ``Timing``.
        visits: in the order in which they are made.
    """

    space: SearchSpace
    batch_size: int
    precision: str
    seed: int
    subnets: Mapping[str, Subnet]
    anchor: Subnet
    timing: Mapping[str, int | float]
    visits: tuple[Key, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``bundle.json``."""
        own = {one.name: to_json(getattr(self, one.name)) for one in fields(self)}
        anchor = {"subnet": self.anchor.digest, "is": own["anchor"]}
        visits = [dict(zip(_VISIT, key, strict=True)) for key in self.visits]
        return {"schema": SCHEMA, "kind": "bundle", **own, "anchor": anchor, "visits": visits}

    @classmethod
    def from_dict(cls, data: Any) -> Bundle:
        """Inverse of ``to_dict``. Raises InputError, KeyError or TypeError on anything else."""
        own = content(data, SCHEMA, "bundle")
        visits = [[one[name] for name in _VISIT] for one in own.pop("visits")]
        found: Bundle = as_fields(cls, own | {"anchor": own["anchor"]["is"], "visits": visits})
        changed = [digest for digest, subnet in found.subnets.items() if subnet.digest != digest]
        unplanned = {digest for _, _, digest in found.visits} - set(found.subnets)
        if changed or unplanned:
            raise InputError(
                f"Subnet {(changed or sorted(unplanned))[0]} is not in the bundle, or not the one that its name means."
            )
        return found


@dataclass(frozen=True)
class ImportedVisit:
    """One visit of a subnet on the other device.

    Args:
        measurement, round: which of the planned visits.
        digest: of the subnet.
        samples_ms: raw latencies, in order.
        anchor_ms: the anchor's p50 right before; None if it was not measured.
    """

    measurement: str
    round: int
    digest: str
    samples_ms: tuple[float, ...]
    anchor_ms: float | None


def read_bundle(path: str | Path) -> Bundle:
    """Read ``bundle.json``. Raises FileError if it is missing, broken or of another schema."""
    path = Path(path)
    with refusing(path, "is not a bundle's", "Write it anew with `bundle`."):
        return Bundle.from_dict(parse_json(read_text(path, "the bundle", hint="Give the folder that `bundle` wrote.")))


def read_results(csv_path: str | Path, bundle_json_path: str | Path) -> tuple[ImportedVisit, ...]:
    """The visits of a results table, in the order of the file; columns beyond ``COLUMNS`` are not read.

    A planned visit that lacks is not an error here.

    Raises:
        FileError: a file cannot be read, or the table lacks a column or holds a row that is cut off, not of the bundle,
            repeated, out of order, or of a latency that is none; names file and line.
    """
    path, bundle = Path(csv_path), read_bundle(bundle_json_path)
    planned = set(bundle.visits)
    anchors = {(ANCHOR, number, bundle.anchor.digest): key for number, key in enumerate(bundle.visits)}
    samples: dict[Key, array[float]] = {}  # eight bytes each, however many rows somebody has written
    for number, row in _rows(path):
        try:
            key = (row["measurement"], _whole(row, "round"), row["subnet"])
            if key not in planned and key not in anchors:
                raise InputError(_unknown(key, bundle))
            so_far = samples.setdefault(key, array("d"))
            sample = _whole(row, "sample")
            if sample != len(so_far):
                twice = sample < len(so_far)
                raise InputError(
                    f"sample {sample} of this visit is listed twice."
                    if twice
                    else f"the samples of a visit count from 0; {len(so_far)} comes before {sample}."
                )
            so_far.append(_latency(row))
        except InputError as error:
            raise FileError(f"{path}, line {number}, cannot be used: {error}", _NEXT) from error
    anchor_ms = {anchors[key]: statistics.median(found) for key, found in samples.items() if key in anchors}
    visits = tuple(
        ImportedVisit(*key, tuple(found), anchor_ms.get(key)) for key, found in samples.items() if key in planned
    )
    if not visits:
        raise FileError(f"{path} holds no visit of a subnet.", "Measure first: python run.py")
    return visits


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of the table by column, with their lines; one at a time is in memory."""
    with open_regular(path, "the results", most=MOST_LINES_BYTES) as file:
        reader = csv.reader(_lines(path, file))
        try:
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in COLUMNS if header.count(name) != 1]
            if missing:
                raise FileError(
                    f"{path}, line 1: the columns {', '.join(missing)} must be named there, once each.", _NEXT
                )
            for cells in reader:
                if len(cells) != len(header):
                    raise FileError(
                        f"{path}, line {reader.line_num}, has {len(cells)} cells, not {len(header)}.", _NEXT
                    )
                yield reader.line_num, dict(zip(header, map(str.strip, cells), strict=True))
        except csv.Error as error:
            raise FileError(f"{path} is not a table: {reason(error)}.", _NEXT) from error
        except OSError as error:
            raise FileError(f"Cannot read the results {path}: {error.strerror}.") from error


def _lines(path: Path, file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
        if len(line) == _LONGEST_LINE:
            raise FileError(f"{path}, line {number}, is longer than {_LONGEST_LINE:,} bytes.", _NEXT)
        if not line.endswith(b"\n"):  # a number that lost its last digits would look whole
            raise FileError(f"{path}, line {number}, is cut off: it has no line end.", "Start run.py again.")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise FileError(f"Cannot read the results {path}: line {number} is not UTF-8 text.") from error


def _unknown(key: Key, bundle: Bundle) -> str:
    measurement, round_, digest = key
    if digest not in bundle.subnets and digest != bundle.anchor.digest:
        return f"subnet {shown(digest)} is not of the bundle."
    return f"subnet {digest} has no measurement {shown(measurement)} with round {round_} in the bundle."


def _whole(row: dict[str, str], column: str) -> int:
    text = row[column]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InputError(f"{column} must be a whole number from 0, not {shown(text)}.")
    return int(text)


def _latency(row: dict[str, str]) -> float:
    text = row["latency_ms"]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_MS:
        raise InputError(f"latency_ms must be a positive number of milliseconds, not {shown(text)}.")
    return value
