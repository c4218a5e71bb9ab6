"""Profiling over a real Ray cluster on this machine, whose nodes pretend to be other hardware."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_place import HARDWARE, MeasuringFakes
from machines_of_ray import Machines, machines_of

from vitas_hw.cli.main import main
from vitas_hw.cluster.devices import Device, Devices
from vitas_hw.cluster.visits import Errand, Report
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.profiling.environment import fingerprint
from vitas_hw.profiling.place import TargetAsked
from vitas_hw.profiling.protocol import REPEAT_EVERY
from vitas_hw.profiling.worker import SubnetFailedError
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.profile.on_cluster import kinds_of, profile_fleet
from vitas_hw.workflows.profile.profile import Profiled
from vitas_hw.workflows.profile.settings import ProfileSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves log files and sockets open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, seen by the collector
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]
ROUNDS, SUBNETS = 2, 20
REPEATS = len(range(0, SUBNETS, REPEAT_EVERY))
SETTINGS = ProfileSettings(num_subnets=SUBNETS, rounds=ROUNDS)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each machine measures with the made-up runtime."""
    monkeypatch.setattr("vitas_hw.cluster.devices.MeasuringActor", MeasuringFakes)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with machines_of("a", "a", "b", "unfit") as found:
        yield found


@pytest.fixture
def space(small: SearchSpace, tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(small.to_dict()))))
    return str(path)


class Told(Silent):
    """Keeps what is said, and does something after some visits."""

    def __init__(self, after: int = -1, then: Callable[[], None] = lambda: None) -> None:
        self.notes: list[str] = []
        self._left, self._then = after, then

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def step(self, text: str, total: int, done: int = 0) -> Iterator[Callable[[str], None]]:
        def advance(detail: str) -> None:
            self._left -= 1
            if self._left == 0:
                self._then()

        yield advance


def visits_of(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "samples_ms" in line]


def assert_whole(journal: Path) -> None:
    """Each visit was made once: none is lost, none is there twice."""
    made = Counter((line["measurement"], line["round"], line["subnet"]) for line in visits_of(journal))
    assert set(made.values()) == {1}
    assert Counter(name for name, _, _ in made) == {"first": ROUNDS * SUBNETS, "second": ROUNDS * REPEATS}


def journal_of(done: Profiled) -> Path:
    return done.profile_path.with_name(f"{done.profile.name}.journal.jsonl")


def measuring_processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"of-a-fleet" in words:
            found.append(path.parent.name)
    return found


def gone(found: Callable[[], list[str]], seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while found() and time.monotonic() < end:
        time.sleep(0.1)
    return not found()


@pytest.mark.full
def test_devices_of_two_kinds_make_two_profiles_and_share_the_work_of_each(
    machines: Machines, space: str, tmp_path: Path
) -> None:
    run, told = Run(tmp_path / "run"), Told()
    address = machines.address
    done = profile_fleet(run, SETTINGS, address=address, space=space, progress=told)
    assert {one.profile.environment["fingerprint"] for one in done} == {fingerprint("a"), fingerprint("b")}
    for one in done:
        mark = one.profile.environment["fingerprint"]
        assert one.profile.target.device_name == f"fake-{mark[:4]}"
        assert len(one.profile.ok) == SUBNETS
        assert all(measured.latency_ms == measured.subnet.macs / 1e6 for measured in one.profile.ok)
        assert json.loads(journal_of(one).read_text().splitlines()[0])["fingerprint"] == mark
        assert one.predictor_path.exists()
        assert_whole(journal_of(one))
    devices = [set(one.profile.environment["devices"]) for one in done]
    assert sorted(map(len, devices)) == [1, 2]
    assert not devices[0] & devices[1]
    pair = visits_of(journal_of(done[0] if len(devices[0]) == 2 else done[1]))
    made_by = {(line["measurement"], line["round"], line["subnet"]): line["device"] for line in pair}
    seconds = [key for key in made_by if key[0] == "second"]
    assert len(seconds) == ROUNDS * REPEATS
    assert all(made_by[key] != made_by["first", *key[1:]] for key in seconds)
    assert min(Counter(made_by.values()).values()) > 5
    assert any("takes no part: There is no such runtime here." in note for note in told.notes)
    assert any(one.profile.target.slug in note for note in told.notes for one in done)
    before = [journal_of(one).read_bytes() for one in done]
    again = profile_fleet(run, SETTINGS, address=address, space=space)
    assert [journal_of(one).read_bytes() for one in again] == before  # all of it was there
    assert gone(measuring_processes)


@pytest.mark.full
def test_an_actor_that_is_killed_loses_nothing_and_the_other_goes_on(
    machines: Machines, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    killed: list[str] = []
    visit = Devices.visit

    def visit_and_kill(self: Devices, device: Any, errand: Errand) -> Any:
        ticket = visit(self, device, errand)
        if len(killed) == 0 and device.about["fingerprint"] == fingerprint("a") and not errand.anew:
            killed.append(device.name)
            ray.kill(device.actor)
        return ticket

    monkeypatch.setattr(Devices, "visit", visit_and_kill)
    told = Told()
    done = profile_fleet(Run(tmp_path), SETTINGS, address=machines.address, space=space, progress=told)
    assert len(killed) == 1
    assert any(f"{killed[0]} takes no further part" in note for note in told.notes)
    for one in done:
        assert_whole(journal_of(one))
    assert gone(measuring_processes)


@pytest.mark.full
def test_when_the_last_device_of_a_kind_is_lost_the_others_finish_and_a_repeat_goes_on(
    machines: Machines, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    visit = Devices.visit
    made: list[int] = []

    def visit_and_kill(self: Devices, device: Any, errand: Errand) -> Any:
        ticket = visit(self, device, errand)
        if device.about["fingerprint"] == fingerprint("b"):
            made.append(1)
            if len(made) == 10:  # once
                ray.kill(device.actor)
        return ticket

    monkeypatch.setattr(Devices, "visit", visit_and_kill)
    with pytest.raises(VitasError, match=r"last device.*lost.*kept.*same command"):
        profile_fleet(Run(tmp_path), SETTINGS, address=machines.address, space=space)
    one, other = sorted((tmp_path / "profiles").glob("*.journal.jsonl"), key=lambda path: len(visits_of(path)))
    assert len(visits_of(one)) in (8, 9)
    assert_whole(other)
    assert len([path for path in (tmp_path / "profiles").iterdir() if "journal" not in path.name]) == 1
    kept = one.read_text()
    done = profile_fleet(Run(tmp_path), SETTINGS, address=machines.address, space=space)
    assert len(done) == 2
    assert one.read_text().startswith(kept)
    assert_whole(one)


@pytest.mark.full
def test_an_interruption_leaves_no_process_and_the_same_command_goes_on(
    machines: Machines, space: str, tmp_path: Path
) -> None:
    def interrupt() -> None:
        assert measuring_processes()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile_fleet(
            Run(tmp_path),
            SETTINGS,
            address=machines.address,
            space=space,
            progress=Told(30, interrupt),
        )
    assert gone(measuring_processes)
    kept = sum(len(visits_of(path)) for path in (tmp_path / "profiles").glob("*.journal.jsonl"))
    assert kept == 30
    done = profile_fleet(Run(tmp_path), SETTINGS, address=machines.address, space=space)
    for one in done:
        assert_whole(journal_of(one))


@pytest.mark.full
def test_a_profiling_stops_in_time_and_goes_on(machines: Machines, space: str, tmp_path: Path) -> None:
    """With what was visited by then: a predictor of each kind that has enough of it."""
    run, deadline = Run(tmp_path), Deadline()
    told = Told(2 * ROUNDS * SUBNETS - 10, lambda: deadline.signals.append(signal.SIGINT))
    cut = profile_fleet(run, SETTINGS, address=machines.address, space=space, deadline=deadline, progress=told)
    assert gone(measuring_processes)
    assert [note for note in told.notes if note.startswith("time is up: 20 of 20 subnets measured on fake-")]
    assert [len(one.profile.ok) for one in cut] == [SUBNETS, SUBNETS]
    assert not all(one.whole for one in cut)
    kept = {journal_of(one): journal_of(one).read_text() for one in cut}
    done = profile_fleet(run, SETTINGS, address=machines.address, space=space)
    assert all(one.whole for one in done)
    for one in done:
        assert journal_of(one).read_text().startswith(kept[journal_of(one)])
        assert_whole(journal_of(one))
    with pytest.raises(TimeIsUpError, match="before the machines were ready"):
        profile_fleet(run, SETTINGS, address=machines.address, space=space, deadline=Deadline(0.0))
    new, soon = Run(tmp_path / "new"), Deadline()
    told = Told(10, lambda: soon.signals.append(signal.SIGINT))
    with pytest.raises(VitasError, match="needs at least 20 measured subnets"):
        profile_fleet(new, SETTINGS, address=machines.address, space=space, deadline=soon, progress=told)
    assert sum(len(visits_of(path)) for path in new.profiles.glob("*.journal.jsonl")) in range(10, 14)


@pytest.mark.full
def test_the_command_prints_a_profile_for_each_kind(
    machines: Machines,
    space: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["profile", "--ray", machines.address, "--space", space, "--run", str(tmp_path / "run")]
    words += ["--num-subnets", str(SUBNETS), "--rounds", "1"]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["ok"] for row in printed["profiles"]] == [SUBNETS, SUBNETS]
    keys = {"profile", "predictor", "ok", "failed", "noise_floor", "quiet", "mape", "would_have", "grown"}
    assert keys == set(printed["profiles"][0])
    assert main(words) == 0
    assert capsys.readouterr().out.count("Profile of fake-") == 2


def test_a_machine_that_dies_loses_nothing(space: str, tmp_path: Path) -> None:
    with machines_of("a", "a") as machines:
        told = Told(15, lambda: machines.kill("a"))
        (done,) = profile_fleet(Run(tmp_path), SETTINGS, address=machines.address, space=space, progress=told)
        assert done.profile.target.device_name == "fake"  # one kind keeps the name it has without a fleet
        assert any("takes no further part" in note for note in told.notes)
        assert_whole(journal_of(done))
        assert gone(measuring_processes)


@pytest.mark.full
def test_what_cannot_be_spread_is_said(machines: Machines, space: str, tmp_path: Path) -> None:
    def attempt(**options: Any) -> None:
        settings = ProfileSettings(num_subnets=SUBNETS, **options)
        profile_fleet(Run(tmp_path), settings, address=machines.address, space=space)

    with pytest.raises(InputError, match="cpu and cuda, not 'mps'"):
        attempt(device="mps")
    with pytest.raises(VitasError, match=r"No machine of at least 64 CPUs.*ray status"):
        attempt(threads=64)
    with pytest.raises(VitasError, match=r"No GPU in the cluster.*ray status"):
        attempt(device="cuda")


@pytest.mark.full
def test_each_gpu_is_a_device_of_its_own(space: str, tmp_path: Path) -> None:
    with machines_of("two-gpus") as machines:
        settings = replace(SETTINGS, device="cuda")
        (done,) = profile_fleet(Run(tmp_path), settings, address=machines.address, space=space)
    assert len(done.profile.environment["devices"]) == 2
    assert_whole(journal_of(done))


def test_a_device_keeps_what_it_builds_for_each_measurement_apart_until_it_is_closed(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HARDWARE, "a")
    monkeypatch.setattr("vitas_hw.cluster.devices.find_place", None)  # put back what the actor sets
    actor = MeasuringFakes(TargetAsked(), 60.0, small.image_size)
    assert isinstance(actor.open(), tuple)
    built = Path(actor._built.name)
    for measurement, anew in (("first", True), ("first", False), ("second", True), ("second", True)):
        report = actor.visit(Errand("a", small.largest, measurement, anew))
        assert isinstance(report, Report)
        assert report.visit is not None
    assert (built / "processes").read_text() == ".."  # one to say its version, one for the round
    assert (built / "second" / "processes").read_text() == ".."
    actor.close()
    assert not built.exists()


def test_a_failure_that_may_pass_is_told_as_one(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HARDWARE, "a")
    monkeypatch.setattr("vitas_hw.cluster.devices.find_place", None)  # put back what the actor sets
    actor = MeasuringFakes(TargetAsked(), 60.0, small.image_size)
    assert isinstance(actor.open(), tuple)

    def refuse(subnet: object) -> None:
        raise SubnetFailedError("CUDA out of memory", passing=True)

    monkeypatch.setattr(actor._worker, "visit", refuse)
    report = actor.visit(Errand("a", small.largest, "first", False))
    assert isinstance(report, Report)
    assert (report.visit, report.refused, report.passing) == (None, "CUDA out of memory", True)
    actor.close()


def test_other_hardware_of_the_same_name_is_told_apart_and_other_runtimes_are_refused() -> None:
    target = Target("fake", "onnxruntime", "fp32", 1, 1, (32, 32))

    def device(name: str, mark: str, version: str = "1", target: Target = target) -> Device:
        return Device(name, target, {"fingerprint": mark, "backend_version": version}, None)

    a, b, c = device("x", "aaaaaa"), device("y", "aaaaaa"), device("z", "bbbbbb")
    assert kinds_of([a, b]) == {target: [a, b]}
    assert kinds_of([a, b, c]) == {
        replace(target, device_name="fake-aaaa"): [a, b],
        replace(target, device_name="fake-bbbb"): [c],
    }
    other = device("z", "bbbbbb", target=replace(target, device_name="other"))
    assert kinds_of([a, other]) == {target: [a], replace(target, device_name="other"): [other]}
    with pytest.raises(VitasError, match=r"different versions of onnxruntime: 2 on y, 1 on x.*same one"):
        kinds_of([a, device("y", "aaaaaa", "2")])


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no.such.host.invalid:6379"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address: str, space: str, tmp_path: Path) -> None:
    with pytest.raises(VitasError, match=rf"No Ray cluster answers at {address}.*ray start --head"):
        profile_fleet(Run(tmp_path), SETTINGS, address=address, space=space)


def test_without_ray_the_line_that_installs_it_is_said(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["profile", "--ray", "auto", "--space", space, "--run", str(tmp_path)]) == 1
    assert "pip install 'vitas-hw[ray]'" in capsys.readouterr().err


def test_ray_is_loaded_only_when_it_is_asked_for() -> None:
    code = (
        "import sys, vitas_hw, vitas_hw.cli.main, vitas_hw.workflows.profile.profile\n"
        "import vitas_hw.workflows.profile.on_cluster\n"
        "sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
