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
from vitas_hw.core.operators import operators
from vitas_hw.core.reading import MOST_LINES_BYTES, read_text
from vitas_hw.core.records import content, each_line, from_json, refusing, to_json
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.core.target import LONGEST_MS, Target
from vitas_hw.profiling.estimate import Estimates, Floats, Visits, estimate, quiet_drift
from vitas_hw.profiling.noise import NoiseFloor, Quiet, split_noise

SCHEMA = 3
_WITHOUT_QUIET = 2  # the schema before: its rows are the same, without what is derived from their samples
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
        quiet_ms: on the machine as quiet as it was seen, from all visits of the profile (see ``Quiet``); None where it
            was not derived.
        quiet_error: relative standard uncertainty of ``quiet_ms``; None where it cannot be known.
    """

    subnet: Subnet
    rounds_ms: tuple[tuple[float, ...], ...] = ()
    drift: tuple[float, ...] = ()
    failed: str = ""
    peak_bytes: int | None = None
    quiet_ms: float | None = None
    quiet_error: float | None = None

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
        derived = [value for value in (self.quiet_ms, self.quiet_error) if value is not None]
        if any(not 0 < value < float("inf") for value in derived):
            raise InputError("A quiet latency and its error must be positive and finite.")

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
class Profile(Tabular):
    """Measurements of subnets of one space on one target, under one environment.

    ``anchor_ms`` is the p50 of the anchor (``anchor_subnet``) over the whole profile, which every latency refers to;
    None if there was no anchor. ``quiet`` says what the rows' ``quiet_ms`` are; None where they were not derived.
    """

    target: Target
    space: SearchSpace
    environment: dict[str, Any]
    noise_floor: NoiseFloor | None
    anchor_ms: float | None
    measurements: tuple[Measurement, ...] = field(repr=False)
    quiet: Quiet | None = None

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

    @property
    def title(self) -> str:
        return self.name

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each measurement."""
        return table_of(self.measurements)


def table_of(measurements: Sequence[Measurement]) -> list[dict[str, Cell]]:
    """A row for each: latencies in milliseconds, None where it does not run, and costs."""
    return [
        {
            "digest": one.subnet.digest,
            "p50_ms": None if one.failed else one.latency_ms,
            "p90_ms": None if one.failed else one.percentile(90),
            "quiet_ms": one.quiet_ms,
            "macs": one.subnet.macs,
            "params": one.subnet.params,
            "failed": one.failed,
        }
        for one in measurements
    ]


def with_quiet(profile: Profile, second: Sequence[Measurement] = ()) -> Profile:
    """The profile with ``quiet_ms`` and ``quiet_error`` of each row derived from all rows' samples.

    Args:
        profile: rows without a drift among others that have one are left as they are: they were measured otherwise.
        second: measurements of the same subnets, far apart in time, for the noise floor.
    """
    anchored = [row for row in profile.ok if row.drift]
    rows = anchored or profile.ok
    if not rows:
        return profile
    visits = _visits(rows)
    about = known_of([row.subnet for row in rows])
    found = estimate(visits, about=about)
    by_subnet = {
        row.subnet: replace(row, quiet_ms=_short(ms), quiet_error=None if error is None else _short(error))
        for row, ms, error in zip(rows, found.quiet_ms, _errors(found), strict=True)
    }
    anchor = quiet_drift([row.drift for row in rows]) if anchored else None
    floor, again = None, None
    number = {row.subnet: index for index, row in enumerate(rows)}
    repeated = [row for row in second if not row.failed and row.subnet in number and bool(row.drift) == bool(anchored)]
    if repeated:
        numbers = [number[row.subnet] for row in repeated]
        other = estimate(_visits(repeated, anchor), found.drift)
        first_ms = found.quiet_ms[numbers]
        floor = NoiseFloor.of(first_ms.tolist(), other.quiet_ms.tolist())
        if found.error is not None:
            own = found.error[numbers]
            expected = np.hypot(own, own if other.error is None else other.error)
            again = np.log(other.quiet_ms / first_ms), expected
    quiet = Quiet(
        found.sentence, found.drift, anchor, found.noise, found.unknown, floor, split_noise(visits, found, again)
    )
    return replace(
        profile, measurements=tuple(by_subnet.get(row.subnet, row) for row in profile.measurements), quiet=quiet
    )


def _short(value: float) -> float:
    """As it stands in the file."""
    return float(f"{value:.7g}")


def _visits(rows: Sequence[Measurement], quiet: float | None = None) -> Visits:
    return Visits.of([row.rounds_ms for row in rows], [row.drift for row in rows], quiet)


def _errors(found: Estimates) -> list[float] | list[None]:
    return [None] * len(found.quiet_ms) if found.error is None else found.error.tolist()


def known_of(subnets: Sequence[Subnet]) -> Floats:
    """(N, 4) what a subnet's ln latency is about linear in."""
    counted = operators(subnets)
    macs, params = np.log(counted.macs), np.log(counted.params)
    return np.stack([macs, params, np.log([subnet.depth for subnet in subnets]), (macs - macs.mean()) ** 2], axis=1)


def save_profile(profile: Profile, path: Path) -> None:
    """Write the JSON Lines file in one step: a header, then one line per subnet."""
    header = {"schema": SCHEMA, "kind": "profile", **to_json(replace(profile, measurements=()))}
    del header["measurements"]
    lines = [header, *(_row(measurement) for measurement in profile.measurements)]
    write_atomic(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises FileError that names file and line if it is missing, broken or of another schema.

    One from before ``quiet_ms`` was kept has it derived anew from its raw samples.
    """
    path, why = Path(path), "is not a profile's"
    lines = read_text(path, "the profile", most=MOST_LINES_BYTES).splitlines() or [""]
    ((profile, schema),) = each_line(path, lines[:1], _header, why)
    measurements: dict[Subnet, Measurement] = {}

    def read(line: dict[str, Any]) -> None:
        row: _Row = from_json(_Row, line)
        if row.subnet in measurements:
            raise InputError(f"Subnet {row.subnet.digest} is listed twice.")
        measurements[row.subnet] = Measurement(
            row.subnet, row.samples_ms, row.drift, row.reason, row.peak_bytes, row.quiet_ms, row.quiet_error
        )

    each_line(path, lines[1:], read, why, first=2)
    profile = replace(profile, measurements=tuple(measurements.values()))
    if schema != _WITHOUT_QUIET:
        return profile
    with refusing(path, why), np.errstate(all="ignore"):  # a stranger's numbers may be of any size
        return with_quiet(profile)


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
    quiet_ms: float | None = None
    quiet_error: float | None = None


def _header(line: dict[str, Any]) -> tuple[Profile, int]:
    schema = _WITHOUT_QUIET if line.get("schema") == _WITHOUT_QUIET else SCHEMA
    found: Profile = from_json(Profile, {**content(line, schema, "profile"), "measurements": []})
    return found, schema


def _row(measurement: Measurement) -> dict[str, Any]:
    row: dict[str, Any] = {"subnet": measurement.subnet.to_dict(), "status": "failed" if measurement.failed else "ok"}
    if measurement.failed:
        return row | {"reason": measurement.failed}
    percentiles = {name: round(measurement.percentile(p), 6) for name, p in _PERCENTILES.items()}
    samples = [[round(sample, 6) for sample in visit] for visit in measurement.rounds_ms]
    row |= percentiles | {"samples_ms": samples, "drift": list(measurement.drift)}
    derived = {name: getattr(measurement, name) for name in ("quiet_ms", "quiet_error", "peak_bytes")}
    return row | {name: value for name, value in derived.items() if value is not None}


_PERCENTILES = {"latency_ms": 50, "p90_ms": 90, "p99_ms": 99}
