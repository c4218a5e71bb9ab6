from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling import environment as machine
from vitas_hw.profiling.backend import open_backend
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import measure, noise_floor
from vitas_hw.profiling.profile import Measurement, NoiseFloor, Profile, load_profile, save_profile
from vitas_hw.profiling.timing import Timing, time_session

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
SHORT = Timing(warmup_s=0.0, sample_s=0.0, min_samples=2)


class CountingSession:
    def __init__(self) -> None:
        self.runs = 0

    def samples_ms(self, count: int) -> list[float]:
        self.runs += count
        return [1.0] * count


class FakeBackend:
    """Opens sessions that do nothing; refuses the subnets it is told to, and stops the process after some visits."""

    version = "1"

    def __init__(self, refuse: frozenset[str] = frozenset(), interrupt_after: int | None = None) -> None:
        self.target = TARGET
        self.opened: list[str] = []
        self._refuse, self._interrupt_after = refuse, interrupt_after

    def open(self, subnet: Subnet) -> CountingSession:
        if self._interrupt_after is not None and len(self.opened) >= self._interrupt_after:
            raise KeyboardInterrupt
        self.opened.append(subnet.digest)
        if subnet.digest in self._refuse:
            raise VitasError("this engine cannot")
        return CountingSession()


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return list(dict.fromkeys(small.sample(seed) for seed in range(12)))[:8]


def take(backend: FakeBackend, subnets: list[Subnet], path: Path, rounds: int = 3) -> list[Measurement]:
    return measure(backend, subnets, rounds=rounds, timing=SHORT, seed=0, journal=Journal.open(path, {"machine": 1}))


def test_warm_up_comes_first_and_samples_are_kept_raw() -> None:
    session = CountingSession()
    samples = time_session(session, Timing(warmup_s=0.0, sample_s=0.0, min_samples=7))
    assert len(samples) == 7
    assert session.runs == 3 + 7
    assert all(0 < sample < 1000 for sample in samples)
    assert len(time_session(session, Timing(warmup_s=0.0, sample_s=10.0, max_samples=20))) == 20


def test_every_subnet_is_visited_once_a_round_in_changing_order(subnets: list[Subnet], tmp_path: Path) -> None:
    backend = FakeBackend()
    found = take(backend, subnets, tmp_path / "journal")
    assert [measurement.subnet for measurement in found] == subnets
    assert all(len(measurement.rounds_ms) == 3 for measurement in found)
    size = len(subnets)
    rounds = [backend.opened[start : start + size] for start in range(0, 3 * size, size)]
    assert all(sorted(order) == sorted(subnet.digest for subnet in subnets) for order in rounds)
    assert len({tuple(order) for order in rounds}) == 3


def test_a_subnet_that_cannot_run_costs_one_row(subnets: list[Subnet], tmp_path: Path) -> None:
    bad = subnets[3].digest
    backend = FakeBackend(refuse=frozenset([bad]))
    found = take(backend, subnets, tmp_path / "journal")
    assert [measurement.failed for measurement in found].count("this engine cannot") == 1
    assert found[3].failed
    assert backend.opened.count(bad) == 1  # not tried again in the next round


@pytest.mark.parametrize("stop", [0, 1, 7, 8, 9, 23])
def test_an_interrupted_profiling_goes_on_where_it_was(stop: int, subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        take(FakeBackend(interrupt_after=stop), subnets, path)
    kept = path.read_text().count("samples_ms")
    assert kept == stop
    rest = FakeBackend()
    found = take(rest, subnets, path)
    assert len(rest.opened) == 3 * len(subnets) - stop
    assert all(len(measurement.rounds_ms) == 3 for measurement in found)
    assert take(FakeBackend(), subnets, path) == found


def test_a_torn_last_line_is_dropped_and_anything_else_broken_is_named(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeBackend(), subnets[:2], path, rounds=1)
    whole = path.read_text()
    path.write_text(whole + '{"measurement":"first","rou')
    journal = Journal.open(path, {"machine": 1})
    assert len(journal.visits) == 2
    assert path.read_text() == whole
    lines = whole.splitlines()
    path.write_text("\n".join([lines[0], "{}", lines[2]]) + "\n")
    with pytest.raises(FileError, match="line 2, is broken"):
        Journal.open(path, {"machine": 1})


def test_a_journal_cut_anywhere_can_be_opened(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeBackend(), subnets[:2], path, rounds=1)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert len(Journal.open(path, {"machine": 1}).visits) == max(whole[:end].count(b"\n") - 1, 0)


def test_a_journal_of_another_machine_is_never_continued(subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    take(FakeBackend(), subnets[:2], path)
    with pytest.raises(InputError, match=r"begun with another machine.*--fresh"):
        Journal.open(path, {"machine": 2})


def test_onnx_runtime_measures_for_real(small: SearchSpace, digits: SearchSpace, tmp_path: Path) -> None:
    backend = open_backend(TARGET, "cpu")
    little, large = small.smallest, digits.largest
    found = measure(
        backend, [little, large], rounds=2, timing=Timing(), seed=0, journal=Journal.open(tmp_path / "journal", {})
    )
    assert found[0].latency_ms * 20 < found[1].latency_ms  # a thousandth of the MACs


@pytest.fixture
def profile(subnets: list[Subnet], small: SearchSpace) -> Profile:
    rows = [Measurement(subnet, ((1.0 + i, 2.0 + i), (3.0 + i,))) for i, subnet in enumerate(subnets[:-1])]
    failed = Measurement(subnets[-1], failed="this engine cannot")
    return Profile(TARGET, small, {"fingerprint": "f"}, NoiseFloor(0.02, 0.05, 3), (*rows, failed))


def test_a_profile_comes_back(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    assert load_profile(path) == profile
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["schema"] == 1
    assert lines[1]["status"] == "ok"
    assert (lines[1]["latency_ms"], lines[1]["samples_ms"]) == (2.0, [[1.0, 2.0], [3.0]])
    assert (lines[-1]["status"], lines[-1]["reason"]) == ("failed", "this engine cannot")
    assert profile.name == "test-cpu-onnxruntime-fp32-b1-t1-i32--small"


def broken_lines() -> Iterator[tuple[str, object]]:
    yield "subnet", {"a": 1}
    yield "status", "maybe"
    yield "samples_ms", [[-1.0]]
    yield "samples_ms", [["1"]]
    yield "samples_ms", []
    yield "surprise", 1


@pytest.mark.parametrize(("field", "value"), list(broken_lines()))
def test_a_broken_profile_is_named_with_its_line(profile: Profile, tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {field: value})
    path.write_text("\n".join(lines))
    with pytest.raises(FileError, match=r"profile\.jsonl, line 3"):
        load_profile(path)


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"schema":2,"kind":"profile"}', "[]", "\x00"])
def test_what_is_no_profile_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match="line 1"):
        load_profile(path)
    with pytest.raises(FileError, match="Cannot read"):
        load_profile(tmp_path / "missing.jsonl")


def test_a_subnet_twice_is_refused(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "profile.jsonl"
    save_profile(profile, path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(FileError, match="second time"):
        load_profile(path)


def test_the_noise_floor_is_the_relative_difference_of_two_measurements(subnets: list[Subnet]) -> None:
    first = [Measurement(subnet, ((10.0,),)) for subnet in subnets[:3]]
    second = [Measurement(subnet, ((value,),)) for subnet, value in zip(subnets, (10.0, 11.0, 8.0), strict=False)]
    floor = noise_floor(first, second)
    assert floor is not None
    assert floor.mean == pytest.approx(np.mean([0.0, 0.1, 0.25]))
    assert floor.pairs == 3
    assert noise_floor([], []) is None


def test_a_measurement_has_samples_or_a_reason(subnets: list[Subnet]) -> None:
    for wrong in ({}, {"rounds_ms": ((1.0,),), "failed": "x"}, {"rounds_ms": ((float("nan"),),)}):
        with pytest.raises(InputError):
            Measurement(subnets[0], **wrong)  # type: ignore[arg-type]


def test_the_fingerprint_stays_and_names_the_hardware() -> None:
    assert machine.fingerprint() == machine.fingerprint()
    about = machine.environment({"rounds": 3})
    assert about["settings"] == {"rounds": 3}
    assert {"onnxruntime", "numpy", "vitas-hw"} <= set(about["libraries"])
    json.dumps(about)


def test_two_arm_processors_are_two_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "_CPUINFO", path)
    text = "processor : 0\nBogoMIPS : {}\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : {}\n\nprocessor : 1\n"
    found = []
    for speed, part in (("48.00", "0xd0c"), ("50.00", "0xd0c"), ("48.00", "0xd40")):
        path.write_text(text.format(speed, part))
        found.append(machine.fingerprint())
    assert machine.check_device("cpu") == "arm-0x41-0xd40"
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("device", ["cuda:7", "cuda:x", "tpu", "", "CPU"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match="Try --device cpu"):
        machine.check_device(device)
