"""A profile: the measurements of many subnets on one target, and its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.reading import MOST_LINES_BYTES, read_text
from vitas_hw.core.records import content, each_line, from_json, to_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import LONGEST_MS, Target

SCHEMA = 2
_MOST_DRIFT = 1e6  # times slower, or faster, than a machine usually is


@dataclass(frozen=True)
class Measurement:
    """One subnet's latency in milliseconds.

    A subnet that could not run has ``failed`` set to the reason and no samples.

    Args:
        subnet: what was measured.
        rounds_ms: the raw samples of each visit, in order.
        drift: the anchor's p50 around each visit over its p50 in the whole profile; empty if there was no anchor.
        failed: why there are no samples.
        peak_bytes: most memory of the device used, where the backend tells; without the workspace of cuBLAS, which is
            the same for all subnets (torch keeps 8 MiB a stream, 32 on Hopper).
    """

    subnet: Subnet
    rounds_ms: tuple[tuple[float, ...], ...] = ()
    drift: tuple[float, ...] = ()
    failed: str = ""
    peak_bytes: int | None = None

    def __post_init__(self) -> None:
        samples = [sample for visit in self.rounds_ms for sample in visit]
        if bool(samples) == bool(self.failed) or not all(self.rounds_ms):
            raise InputError("A measurement has either samples or the reason why there are none.")
        if len(self.drift) not in (0, len(self.rounds_ms)):
            raise InputError("A measurement has one drift for each round, or none.")
        if not all(0 < sample <= LONGEST_MS for sample in samples):
            raise InputError(f"A latency sample must be above 0 and at most {LONGEST_MS:g} ms.")
        if not all(1 / _MOST_DRIFT <= drift <= _MOST_DRIFT for drift in self.drift):
            raise InputError(f"A drift must be between {1 / _MOST_DRIFT:g} and {_MOST_DRIFT:g}.")

    @property
    def latency_ms(self) -> float:
        """p50 of all samples, each corrected for the drift of its visit."""
        return self.percentile(50)

    def percentile(self, percent: float) -> float:
        """Of all samples, each corrected for the drift of its visit, in milliseconds."""
        drift = self.drift or (1.0,) * len(self.rounds_ms)
        corrected = [np.asarray(visit) / change for visit, change in zip(self.rounds_ms, drift, strict=True)]
        return float(np.percentile(np.concatenate(corrected), percent))


@dataclass(frozen=True)
class NoiseFloor:
    """Relative difference between two measurements of the same subnet, far apart in time, sessions built anew.

    ``median`` is None in a profile from before it was kept.
    """

    mean: float
    median: float | None
    p90: float
    pairs: int

    @classmethod
    def of(cls, first: Sequence[float], second: Sequence[float]) -> NoiseFloor | None:
        """From paired latencies; None without a pair."""
        if not first:
            return None
        a, b = np.asarray(first), np.asarray(second)
        difference = np.abs(a - b) / np.minimum(a, b)
        median, p90 = np.percentile(difference, [50, 90])
        return cls(float(difference.mean()), float(median), float(p90), len(first))


@dataclass(frozen=True)
class Profile:
    """Measurements of subnets of one space on one target, under one environment.

    ``anchor_ms`` is the p50 of the anchor (``anchor_subnet``) over the whole profile, which every latency refers to;
    None if there was no anchor.
    """

    target: Target
    space: SearchSpace
    environment: dict[str, Any]
    noise_floor: NoiseFloor | None
    anchor_ms: float | None
    measurements: tuple[Measurement, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if self.anchor_ms is not None and not 0 < self.anchor_ms <= LONGEST_MS:
            raise InputError(f"The anchor's latency in a profile must be above 0 and at most {LONGEST_MS:g} ms.")

    @property
    def name(self) -> str:
        """``<target>--<space>``: the stem of its file and of its predictor's."""
        return f"{self.target.slug}--{self.space.name}"

    @property
    def ok(self) -> list[Measurement]:
        """The measurements that have samples."""
        return [measurement for measurement in self.measurements if not measurement.failed]


def save_profile(profile: Profile, path: Path) -> None:
    """Write the JSON Lines file in one step: a header, then one line per subnet."""
    header = {"schema": SCHEMA, "kind": "profile", **to_json(replace(profile, measurements=()))}
    del header["measurements"]
    lines = [header, *(_row(measurement) for measurement in profile.measurements)]
    write_atomic(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises FileError that names file and line if it is missing, broken or of another schema."""
    path, why = Path(path), "is not a profile's"
    lines = read_text(path, "the profile", most=MOST_LINES_BYTES).splitlines() or [""]
    (profile,) = each_line(path, lines[:1], _header, why)
    measurements: dict[Subnet, Measurement] = {}

    def read(line: dict[str, Any]) -> None:
        row: _Row = from_json(_Row, line)
        if row.subnet in measurements:
            raise InputError(f"Subnet {row.subnet.digest} stands there a second time.")
        measurements[row.subnet] = Measurement(row.subnet, row.samples_ms, row.drift, row.reason, row.peak_bytes)

    each_line(path, lines[1:], read, why, first=2)
    return replace(profile, measurements=tuple(measurements.values()))


@dataclass(frozen=True)
class _Row:
    """A line of the file: a subnet's measurement, or the reason why there is none."""

    subnet: Subnet
    status: Literal["ok", "failed"]
    reason: str = ""
    latency_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    samples_ms: tuple[tuple[float, ...], ...] = ()
    drift: tuple[float, ...] = ()
    peak_bytes: int | None = None


def _header(line: dict[str, Any]) -> Profile:
    found: Profile = from_json(Profile, {**content(line, SCHEMA, "profile"), "measurements": []})
    return found


def _row(measurement: Measurement) -> dict[str, Any]:
    row: dict[str, Any] = {"subnet": measurement.subnet.to_dict(), "status": "failed" if measurement.failed else "ok"}
    if measurement.failed:
        return row | {"reason": measurement.failed}
    percentiles = {name: round(measurement.percentile(p), 6) for name, p in _PERCENTILES.items()}
    samples = [[round(sample, 6) for sample in visit] for visit in measurement.rounds_ms]
    row |= percentiles | {"samples_ms": samples, "drift": list(measurement.drift)}
    return row if measurement.peak_bytes is None else row | {"peak_bytes": measurement.peak_bytes}


_PERCENTILES = {"latency_ms": 50, "p90_ms": 90, "p99_ms": 99}
