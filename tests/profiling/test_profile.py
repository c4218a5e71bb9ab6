from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.measure import noise_floor
from vitas_hw.profiling.noise import NoiseFloor
from vitas_hw.profiling.profile import Measurement, Profile, load_profile, save_profile, with_quiet

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(12)))[:8]


@pytest.fixture
def profile(subnets: list[Subnet], small: SearchSpace) -> Profile:
    rows = [
        Measurement(subnet, ((1.0 + i, 2.0 + i), (3.0 + i,)), (1.0, 1.0 + i / 10), peak_bytes=i or None)
        for i, subnet in enumerate(subnets[:-1])
    ]
    failed = Measurement(subnets[-1], failed="this engine cannot")
    return Profile(TARGET, small, {"fingerprint": "f"}, NoiseFloor(0.02, 0.01, 0.05, 3), 7.5, (*rows, failed))


def test_a_profile_comes_back(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    assert load_profile(path) == profile
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["schema"] == 3
    assert lines[1]["status"] == "ok"
    assert (lines[1]["latency_ms"], lines[1]["samples_ms"]) == (2.0, [[1.0, 2.0], [3.0]])
    assert lines[2]["drift"] == [1.0, 1.1]
    assert lines[2]["p90_ms"] == pytest.approx(np.percentile([2.0, 3.0, 4.0 / 1.1], 90))
    assert (lines[-1]["status"], lines[-1]["reason"]) == ("failed", "this engine cannot")
    assert profile.name == "test-cpu-onnxruntime-fp32-b1-t1-i32--small"


def test_what_was_derived_comes_back_and_a_file_from_before_has_it_derived(profile: Profile, tmp_path: Path) -> None:
    path, old = tmp_path / "profile.jsonl", tmp_path / "old.jsonl"
    rows = [replace(row, rounds_ms=row.rounds_ms * 2, drift=row.drift * 2) for row in profile.ok]
    derived = with_quiet(replace(profile, measurements=(*rows, profile.measurements[-1])))
    save_profile(derived, path)
    assert load_profile(path) == derived
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert "as quiet as it was seen" in lines[0]["quiet"]["means"]
    assert 0 < lines[3]["quiet_ms"] < lines[3]["latency_ms"]
    assert 0 < lines[3]["quiet_error"] < 1

    header = {**lines[0], "schema": 2}
    del header["quiet"]
    before = [{name: value for name, value in line.items() if not name.startswith("quiet_")} for line in lines[1:]]
    old.write_text("".join(json.dumps(line) + "\n" for line in [header, *before]))
    assert load_profile(old) == derived
    huge = old.read_text().replace('"embed_dim": ', '"embed_dim": 99999999999999')
    (tmp_path / "huge.jsonl").write_text(huge)
    with pytest.raises(FileError, match=r"huge\.jsonl.* is not a profile's"):  # what overflows is no warning
        load_profile(tmp_path / "huge.jsonl")
    old.write_text(old.read_text().replace('"schema": 2', '"schema": 4'))
    with pytest.raises(FileError, match="schema 4"):
        load_profile(old)


def broken_lines() -> Iterator[tuple[str, object]]:
    yield "subnet", {"a": 1}
    yield "status", "maybe"
    yield "samples_ms", [[-1.0]]
    yield "samples_ms", [["1"]]
    yield "samples_ms", []
    yield "surprise", 1
    yield "drift", [1.0]
    yield "drift", [1.0, 0.0]
    yield "drift", ["1", "1"]
    yield "quiet_ms", 0.0
    yield "quiet_error", "1"


@pytest.mark.parametrize(("field", "value"), list(broken_lines()))
def test_a_broken_profile_is_named_with_its_line(profile: Profile, tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {field: value})
    path.write_text("\n".join(lines))
    with pytest.raises(FileError, match=r"profile\.jsonl, line 3"):
        load_profile(path)


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"schema":1,"kind":"profile"}', "[]", "\x00"])
def test_what_is_no_profile_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match="line 1"):
        load_profile(path)
    with pytest.raises(FileError, match="Cannot read"):
        load_profile(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_an_anchor_of_no_time_is_refused(profile: Profile, value: float) -> None:
    with pytest.raises(InputError, match=r"The anchor's latency in a profile must be above 0 and at most 1e\+09 ms"):
        replace(profile, anchor_ms=value)


def test_a_subnet_twice_is_refused(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(FileError, match="is listed twice"):
        load_profile(path)


def test_the_noise_floor_is_the_relative_difference_of_two_measurements(subnets: list[Subnet]) -> None:
    first = [Measurement(subnet, ((10.0,),)) for subnet in subnets[:3]]
    second = [Measurement(subnet, ((value,),)) for subnet, value in zip(subnets, (10.0, 11.0, 8.0), strict=False)]
    floor = noise_floor(first, second)
    assert floor is not None
    assert floor.mean == pytest.approx(np.mean([0.0, 0.1, 0.25]))
    assert floor.median == pytest.approx(0.1)
    assert floor.pairs == 3
    assert noise_floor([], []) is None


def test_a_measurement_has_samples_or_a_reason(subnets: list[Subnet]) -> None:
    for wrong in (
        {},
        {"rounds_ms": ((1.0,),), "failed": "x"},
        {"rounds_ms": ((float("nan"),),)},
        {"rounds_ms": ((1.0,), ())},
        {"rounds_ms": ((1.0,), (2.0,)), "drift": (1.0,)},
    ):
        with pytest.raises(InputError):
            Measurement(subnets[0], **wrong)  # type: ignore[arg-type]


def test_samples_are_corrected_for_the_drift_of_their_visit_and_kept_raw(subnets: list[Subnet]) -> None:
    measured = Measurement(subnets[0], ((10.0, 10.0, 10.0), (20.0, 20.0)), (1.0, 2.0))
    assert measured.latency_ms == 10.0
    assert measured.rounds_ms[1] == (20.0, 20.0)
    assert Measurement(subnets[0], measured.rounds_ms).percentile(99) == pytest.approx(20.0)
