"""A profile: the measurements of many subnets on one target, and its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.reading import MOST_LINES_BYTES, parse_json, read_text, reason
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target

SCHEMA = 2


@dataclass(frozen=True)
class Measurement:
    """One subnet's latency in milliseconds.

    A subnet that could not run has ``failed`` set to the reason and no samples.

    Args:
        subnet: what was measured.
        rounds_ms: the raw samples of each visit, in order.
        drift: the anchor's p50 around each visit over its p50 in the whole profile; empty if there was no anchor.
        failed: why there are no samples.
        peak_bytes: most memory of the device used, where the backend tells.
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
        if any(not 0 < value < float("inf") for value in (*samples, *self.drift)):
            raise InputError("A latency sample and a drift must be positive and finite.")

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
    floor = profile.noise_floor
    header = {
        "schema": SCHEMA,
        "kind": "profile",
        "target": profile.target.to_dict(),
        "space": profile.space.to_dict(),
        "environment": profile.environment,
        "noise_floor": None if floor is None else asdict(floor),
        "anchor_ms": profile.anchor_ms,
    }
    lines = [header, *(_row(measurement) for measurement in profile.measurements)]
    write_atomic(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises FileError that names file and line if it is missing, broken or of another schema."""
    from pydantic import ValidationError

    from vitas_hw.profiling.profile_schema import Header, Row  # loads pydantic

    path = Path(path)
    line_number = 1
    try:
        lines = read_text(path, "the profile", most=MOST_LINES_BYTES).splitlines()
        header = Header.model_validate(_parsed(lines[0] if lines else ""))
        floor = None if header.noise_floor is None else NoiseFloor(**header.noise_floor.model_dump())
        space, target = SearchSpace.from_dict(header.space), Target.from_dict(header.target)
        measurements: dict[Subnet, Measurement] = {}
        for line in lines[1:]:
            line_number += 1
            row = Row.model_validate(_parsed(line))
            subnet = Subnet.from_dict(row.subnet)
            if subnet in measurements:
                raise InputError(f"Subnet {subnet.digest} stands there a second time.")
            measurements[subnet] = Measurement(
                subnet, tuple(map(tuple, row.samples_ms)), tuple(row.drift), row.reason, row.peak_bytes
            )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(f"{path}, line {line_number}, is not a profile's: {where} {first['msg']}.") from error
    except FileError:
        raise
    except InputError as error:
        raise FileError(f"{path}, line {line_number}, is not a profile's: {error}") from error
    return Profile(target, space, header.environment, floor, header.anchor_ms, tuple(measurements.values()))


def _parsed(line: str) -> Any:
    try:
        return parse_json(line)
    except ValueError as error:
        raise InputError(f"{reason(error)}.") from error


def _row(measurement: Measurement) -> dict[str, Any]:
    row: dict[str, Any] = {"subnet": measurement.subnet.to_dict(), "status": "failed" if measurement.failed else "ok"}
    if measurement.failed:
        return row | {"reason": measurement.failed}
    percentiles = {name: round(measurement.percentile(p), 6) for name, p in _PERCENTILES.items()}
    samples = [[round(sample, 6) for sample in visit] for visit in measurement.rounds_ms]
    row |= percentiles | {"samples_ms": samples, "drift": list(measurement.drift)}
    return row if measurement.peak_bytes is None else row | {"peak_bytes": measurement.peak_bytes}


_PERCENTILES = {"latency_ms": 50, "p90_ms": 90, "p99_ms": 99}
