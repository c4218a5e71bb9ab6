from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import psutil
import pynvml
import pytest

from vitas_hw.core.progress import Silent
from vitas_hw.profiling import conditions, nvidia
from vitas_hw.profiling.conditions import Conditions, CpuTimes, cores_for, snapshot, warnings
from vitas_hw.profiling.nvidia import (
    Gpu,
    GpuLooks,
    GpuMeanwhile,
    driver_and_gpus,
    gpu_setting,
    gpu_uuid,
    read_gpu,
    summary,
)

H100 = Gpu(1980.0, 1980.0, 2619.0, 41.0, 121.38, 700.0, 0.37, (), 0)
THROTTLED = Gpu(1095.0, 1980.0, 2619.0, 70.0, 699.8, 700.0, 1.0, ("power cap", "thermal slowdown"), 0)
GEFORCE = Gpu(210.0, 2100.0, 405.0, 38.0, None, None, 0.0, (), None)
QUIET = Conditions(
    cpus=8,
    load_1m=0.1,
    governors=("performance",),
    frequency_mhz=(3000.0, 3000.0),
    temperature_c=45.0,
    available_bytes=2**33,
    on_battery=False,
    steal=0.0,
    others=0.01,
    own=0.125,
    throttled_ms=0.0,
    throttled_total_ms=250.0,
    gpu=None,
    gpu_busy_before=None,
    cpu_times=CpuTimes(10.0, 2.0, 0.0, 1.0),
)


def files(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Linux tells its facts instead: nothing there yet."""
    monkeypatch.setattr(conditions, "SYS", tmp_path)
    monkeypatch.setattr(conditions, "PROC", tmp_path)
    return tmp_path


@pytest.fixture
def laptop(root: Path) -> Path:
    """A hybrid laptop's sysfs: two performance cores of two threads each (0-3), four efficiency cores (4-7)."""
    texts = {}
    for cpu in range(8):
        fast = cpu < 4
        folder = f"devices/system/cpu/cpu{cpu}"
        texts |= {
            f"{folder}/cpufreq/scaling_governor": "powersave",
            # the second core is a favoured one
            f"{folder}/cpufreq/cpuinfo_max_freq": ("5100000" if cpu > 1 else "5000000") if fast else "3800000",
            f"{folder}/topology/thread_siblings_list": f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" if fast else str(cpu),
        }
    texts |= {
        "class/power_supply/AC/type": "Mains",
        "class/power_supply/AC/online": "0",
        "class/power_supply/BAT0/type": "Battery",
        "class/power_supply/BAT0/status": "Discharging",
        "class/power_supply/hid-mouse/type": "Battery",
        "class/power_supply/hid-mouse/scope": "Device",
        "class/power_supply/hid-mouse/status": "Discharging",
    }
    return files(root, texts)


class Process:
    """One of a made-up system: 100 is ours and has a child 101, 101 a child 102; 200 is somebody else."""

    times: ClassVar[
        dict[int, list[float]]
    ] = {  # user, system, and those of the children that ended, and waiting for a disk
        100: [0.1, 0.2, 0.03, 0.04, 9.0],
        101: [1.0, 0.0, 0.0, 0.0, 9.0],
        102: [0.0, 10.0, 0.0, 0.0, 9.0],
    }

    def __init__(self, pid: int = 100) -> None:
        self.pid = pid

    def children(self, recursive: bool) -> list[Process]:
        assert recursive
        return [Process(101), Process(102), Process(103)]

    def cpu_times(self) -> tuple[float, ...]:
        if self.pid not in self.times:
            raise psutil.NoSuchProcess(self.pid)  # it has just ended
        return tuple(self.times[self.pid])


class Told(SimpleNamespace):
    def _asdict(self) -> dict[str, float]:
        return vars(self)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What psutil says; to be changed."""
    says: dict[str, Any] = {
        "cpu_times": Told(
            user=5.0, nice=1.0, system=2.0, idle=10.0, iowait=0.5, irq=0.1, softirq=0.2, steal=1.2, guest=3.0
        ),
        "cpu_freq": [SimpleNamespace(current=mhz) for mhz in (400.0, 700.0, 1100.0)],
        "virtual_memory": SimpleNamespace(available=2048 * 1024),
        "sensors_temperatures": {
            "coretemp": [SimpleNamespace(current=58.0), SimpleNamespace(current=61.5)],
            "none": [SimpleNamespace(current=-273.0), SimpleNamespace(current=0.0), SimpleNamespace(current=255.0)],
        },
        "pids": [100, 101, 102, 200],
        "getloadavg": (0.5, 0.4, 0.3),
    }
    for name in says:
        monkeypatch.setattr(psutil, name, lambda name=name, **_: says[name], raising=False)
    monkeypatch.setattr(psutil, "Process", Process)
    return says


@pytest.mark.usefixtures("told")
def test_the_time_of_all_our_descendants_is_ours() -> None:
    times = conditions._cpu_times()
    assert (times.total, times.busy, times.steal, times.own) == pytest.approx((20.0, 8.3, 1.2, 0.37 + 1.0 + 10.0))
    assert conditions._strangers() == {200}


@pytest.mark.usefixtures("told")
def test_a_laptop_on_battery_is_described_and_warned_of(laptop: Path) -> None:
    found = snapshot("cpu")
    assert found.governors == ("powersave",)
    assert found.frequency_mhz == (400.0, 1100.0)
    assert found.temperature_c == 61.5
    assert found.available_bytes == 2048 * 1024
    assert found.load_1m == 0.5
    assert found.on_battery is True
    assert found.gpu is None
    said = warnings(replace(found, load_1m=0.0))
    assert len(said) == 2
    assert "battery" in said[0]
    assert "powersave, not performance" in said[1]
    files(laptop, {"class/power_supply/AC/online": "1"})
    assert conditions._on_battery() is False


def test_a_charged_battery_without_charger_listed_is_no_warning(laptop: Path) -> None:
    files(laptop, {"class/power_supply/AC/type": "Unknown", "class/power_supply/BAT0/status": "Full"})
    assert conditions._on_battery() is False


@pytest.mark.parametrize("error", [psutil.AccessDenied(1), NotImplementedError(), OSError(), KeyError("x")])
def test_what_a_platform_does_not_tell_is_none(
    error: Exception, told: dict[str, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise error

    assert list(root.iterdir()) == []
    for name in told:
        monkeypatch.setattr(psutil, name, fails)
    monkeypatch.delattr(psutil, "sensors_temperatures")  # as on macOS
    monkeypatch.delattr(os, "sched_getaffinity")
    for device in ("cpu", "cuda:0", "cuda", "mps", "gpu", "cuda:x"):
        found = snapshot(device)
        assert {value for name, value in asdict(found).items() if name != "cpus"} == {None}
        assert warnings(found) == []
    assert snapshot("cpu", found).others is None
    assert cores_for(1) is None


@pytest.mark.parametrize("text", ["", "cpu", "\0"])
def test_odd_files_tell_nothing(text: str, root: Path) -> None:
    cpu, supply = "devices/system/cpu/cpu0", "class/power_supply/AC"
    names = [f"{supply}/type", f"{cpu}/cpufreq/cpuinfo_max_freq", f"{cpu}/topology/thread_siblings_list"]
    files(root, dict.fromkeys([*names, "self/cgroup"], text))
    found = snapshot("cpu")
    assert (found.on_battery, found.governors, found.throttled_total_ms) == (None, None, None)
    assert conditions._physical_cores({0, 1}) == [1, 0]


def test_machines_without_clocks_or_sensors_tell_none(told: dict[str, Any]) -> None:
    told |= {"cpu_freq": [], "sensors_temperatures": {}}
    found = snapshot("cpu")
    assert (found.frequency_mhz, found.temperature_c) == (None, None)


@pytest.mark.parametrize(
    ("cgroup", "path", "text"),
    [
        ("0::/", "cpu.stat", "usage_usec 5\nnr_throttled 3\nthrottled_usec {}000"),
        ("0::/kubepods/pod1", "kubepods/pod1/cpu.stat", "nr_throttled 3\nthrottled_usec {}000"),
        ("9:cpuset:/\n4:cpu,cpuacct:/docker/a\n0::/", "cpu,cpuacct/docker/a/cpu.stat", "throttled_time {}000000"),
    ],
)
def test_time_stopped_by_a_quota_is_counted(cgroup: str, path: str, text: str, root: Path) -> None:
    files(root, {"self/cgroup": cgroup, f"fs/cgroup/{path}": text.format(250)})
    first = snapshot("cpu")
    assert (first.throttled_total_ms, first.throttled_ms) == (250.0, None)
    files(root, {f"fs/cgroup/{path}": text.format(400)})
    assert snapshot("cpu", first).throttled_ms == 150.0


def test_shares_are_of_the_time_since_the_previous_snapshot(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    first = snapshot("cpu")
    assert (first.steal, first.others, first.own) == (None, None, None)
    told["cpu_times"].user += 4.0
    told["cpu_times"].idle += 5.0
    told["cpu_times"].steal += 1.0
    monkeypatch.setitem(Process.times, 102, [0.0, 12.5, 0.0, 0.0, 99.0])
    second = snapshot("cpu", first)
    assert (second.steal, second.others, second.own) == pytest.approx((0.1, 0.15, 0.25))
    told["cpu_times"].idle += 0.9
    assert snapshot("cpu", second).others is None  # too little time between them
    said = warnings(replace(second, load_1m=0.5, governors=None))
    assert said == [
        "Other processes took the CPUs' time, 15% of it.",
        "The hypervisor gave the CPUs' time to other guests, 10.0% of it.",
    ]


def test_a_look_says_each_reason_once(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Progress(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    monkeypatch.setattr(conditions, "_governors", lambda: None)
    monkeypatch.setattr(conditions, "_on_battery", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    watch = conditions.Watch("cpu", 1, Progress())
    for degrees in (95.0, 97.0):
        told["sensors_temperatures"]["coretemp"][0].current = degrees
        assert json.loads(json.dumps(watch.look()))["temperature_c"] == degrees
    assert said == ["warning: The machine is hot, 95 °C."]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts children")
def test_work_of_a_child_is_ours_while_it_runs_and_after_it_ended() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = conditions._cpu_times()
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        during = conditions._cpu_times()
        child.communicate(b"\n", timeout=60)
    after = conditions._cpu_times()
    assert during.own - before.own >= 0.25  # 0.3 s, both ends rounded to hundredths
    assert after.own >= during.own - 0.005  # sums of hundredths are not exact


def test_this_machine_can_be_looked_at() -> None:
    found = snapshot("cpu")
    assert json.loads(json.dumps(asdict(found)))["cpus"] == os.cpu_count()
    assert all(isinstance(line, str) for line in warnings(found))


def test_a_quiet_machine_gives_no_warning() -> None:
    assert warnings(QUIET) == []
    assert warnings(replace(QUIET, gpu=H100, gpu_busy_before=0.0)) == []
    assert warnings(replace(QUIET, gpu=GEFORCE, gpu_busy_before=0.0)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"load_1m": 9.0}, "Too few CPUs are free for 1 thread, with a load of others of 8.0 on 8 CPUs"),
        ({"others": 0.06}, "Other processes took the CPUs' time, 6%"),
        ({"steal": 0.011}, "to other guests, 1.1%"),
        ({"throttled_ms": 120.4}, "CPU quota stopped this container, for 120 ms"),
        ({"governors": ("performance", "schedutil")}, "governor is performance, schedutil, not performance"),
        ({"on_battery": True}, "battery"),
        ({"temperature_c": 97.0}, "hot, 97 °C"),
        ({"gpu": H100, "gpu_busy_before": 0.37}, "GPU was busy before the measurement began, 37%"),
        ({"gpu": replace(H100, other_processes=1)}, "Others use the GPU, 1 process."),
        ({"gpu": replace(H100, other_processes=2)}, "Others use the GPU, 2 processes."),
        ({"gpu": replace(H100, temperature_c=84.0)}, "GPU is hot, 84 °C"),
        ({"gpu": THROTTLED}, "slowed down: power cap, thermal slowdown."),
    ],
)
def test_each_reason_is_one_sentence(change: dict[str, object], words: str) -> None:
    said = warnings(replace(QUIET, **change))  # type: ignore[arg-type]
    assert len(said) == 1
    assert words in said[0]
    assert said[0].endswith(".")


def test_our_own_load_is_not_held_against_us() -> None:
    busy = replace(QUIET, load_1m=8.0, own=1.0)
    assert warnings(busy, threads=8) == []
    assert "8 threads" in warnings(replace(busy, load_1m=9.0), threads=8)[0]


class Nvml:
    """A driver with four GPUs; ``old`` ones know the throttle reasons by another name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = 0
        self.lacks: set[str] = set()
        self.clocks = {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}
        self.reasons = 0
        self.kind = "GPU"  # the driver's prefix of UUIDs
        answers: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetCount": lambda: 4,
            "nvmlDeviceGetHandleByIndex": self.handle,
            "nvmlDeviceGetHandleByUUID": self.handle_by_uuid,
            "nvmlDeviceGetName": lambda gpu: ("NVIDIA H100", "NVIDIA L4", "NVIDIA L4", "NVIDIA H100")[gpu],
            "nvmlDeviceGetClockInfo": lambda gpu, kind: self.clocks[kind],
            "nvmlDeviceGetMaxClockInfo": lambda gpu, kind: self.clocks[kind],
            "nvmlDeviceGetTemperature": lambda gpu, sensor: 41,
            "nvmlDeviceGetPowerUsage": lambda gpu: 121380,
            "nvmlDeviceGetEnforcedPowerLimit": lambda gpu: 700000,
            "nvmlDeviceGetPowerManagementLimit": lambda gpu: 700000,
            "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=37, memory=5),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda gpu: self.reasons,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: self.reasons,
            "nvmlDeviceGetComputeRunningProcesses": lambda gpu: [SimpleNamespace(pid=pid) for pid in (4242, 77)],
            "nvmlSystemGetDriverVersion": lambda: "580.95.05",
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, self.asked(name, answer))
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: self.count(1))
        monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: self.count(-1))

    def count(self, by: int) -> None:
        self.open += by

    def handle(self, index: int) -> int:
        if index > 3:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return index

    def handle_by_uuid(self, uuid: str) -> int:
        kind, _, name = uuid.partition("-")
        if kind != self.kind or name not in "0123":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return int(name)

    def asked(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def told(*about: Any) -> Any:
            if not self.open:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
            if name in self.lacks:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return answer(*about)

        return told


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    return Nvml(monkeypatch)


def test_an_h100_is_read(nvml: Nvml) -> None:
    assert read_gpu("0", others=(1, 4242)) == replace(H100, other_processes=1)
    assert read_gpu("0", others=None) == replace(H100, other_processes=None)
    assert read_gpu("4", ()) is None
    assert nvml.open == 0  # left again


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        (0x1, ()),  # idle clocks and clocks set by somebody are no throttling
        (0x102, ()),
        (0x24, ("power cap", "thermal slowdown")),
        (0xD8, ("hardware slowdown", "sync boost", "hardware thermal slowdown", "power brake")),
    ],
)
def test_reasons_for_slow_clocks_are_told(nvml: Nvml, bits: int, reasons: tuple[str, ...]) -> None:
    nvml.reasons = bits
    gpu = read_gpu("0", ())
    assert gpu is not None
    assert gpu.throttling == reasons


def test_what_a_gpu_does_not_tell_is_none(nvml: Nvml) -> None:
    nvml.lacks = {"nvmlDeviceGetPowerUsage", "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetComputeRunningProcesses"}
    gpu = read_gpu("0", ())
    assert gpu == replace(H100, power_w=None, power_limit_w=None, other_processes=None)
    nvml.lacks = {name for name in vars(pynvml) if name.startswith("nvmlDeviceGet")} - {"nvmlDeviceGetHandleByUUID"}
    assert read_gpu("0", ()) == Gpu(*[None] * 9)
    assert warnings(replace(QUIET, gpu=Gpu(*[None] * 9))) == []


class Torch:
    """Two GPUs of a machine, which CUDA numbers the other way round than the driver, and the fastest first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, uuids: tuple[str, ...] = ("3", "1")) -> None:
        properties = [SimpleNamespace(uuid=uuid) for uuid in uuids]
        monkeypatch.setattr("torch.cuda.is_available", lambda: bool(uuids))
        monkeypatch.setattr("torch.cuda.device_count", lambda: len(uuids))
        monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: properties[index])


def test_a_gpu_is_found_by_its_own_name_whatever_its_number(nvml: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    Torch(monkeypatch)
    devices = ("cuda:0", "cuda", "cuda:1", "cuda:2", "cuda:x", "cpu", "mps")
    assert [gpu_uuid(device) for device in devices] == ["3", "3", "1", None, None, None, None]
    with nvidia._driver():
        assert [nvidia._handle(uuid) for uuid in ("3", "1", "7")] == [3, 1, None]
        nvml.kind = "MIG"  # a part of a GPU
        assert nvidia._handle("2") == 2
    Torch(monkeypatch, ())
    assert gpu_uuid("cuda:0") is None


def test_what_people_set_on_a_gpu_is_told(nvml: Nvml) -> None:
    assert gpu_setting("0") == {"driver": "580.95.05", "power_limit_w": 700}
    nvml.lacks = {"nvmlDeviceGetPowerManagementLimit"}
    assert gpu_setting("0") == gpu_setting("9") == {"driver": "580.95.05"}
    assert nvml.open == 0


def test_a_gpu_is_looked_at_while_it_works(nvml: Nvml) -> None:
    looks = GpuLooks("2")
    assert looks.take() is None
    looks.look()
    nvml.clocks[pynvml.NVML_CLOCK_SM], nvml.reasons = 1410, 0x24
    looks.look()
    nvml.reasons = 0x4
    looks.look()
    slowed = GpuMeanwhile(3, (1410, 1980), 41, 121.38, ("power cap", "thermal slowdown"))
    assert looks.take() == slowed
    assert looks.take() is None
    nvml.lacks = {name for name in vars(pynvml) if name.startswith("nvmlDeviceGet")}
    looks.look()
    assert looks.take() == GpuMeanwhile(1)
    assert summary([None, slowed, GpuMeanwhile(1), GpuMeanwhile(2, (1500, 1700), 55, 90.0)]) == {
        "visits": 3,
        "sm_mhz": [1410, 1840, 1980],
        "temperature_c": 55,
        "power_w": 121.38,
        "throttling": {"power cap": 1 / 3, "thermal slowdown": 1 / 3},
    }
    assert summary([GpuMeanwhile(1)]) == {
        "visits": 1,
        "sm_mhz": None,
        "temperature_c": None,
        "power_w": None,
        "throttling": {},
    }
    assert summary([None]) is None
    absent = GpuLooks("9")
    absent.look()
    assert absent.take() is None


@pytest.mark.parametrize("lacks", ["nvmlDeviceGetCurrentClocksEventReasons", ""])
def test_old_and_new_drivers_are_asked(nvml: Nvml, lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.lacks, nvml.reasons = {lacks}, 0x4
    Torch(monkeypatch, ("3",))
    gpu = read_gpu(0, (77, 14))
    assert gpu is not None
    assert (gpu.throttling, gpu.other_processes) == (("power cap",), 1)
    assert snapshot("cuda:0").gpu_busy_before == 0.37
    assert snapshot("cuda:0", QUIET).gpu_busy_before is None
    assert snapshot("cuda:1").gpu is None


def test_the_driver_and_its_gpus_are_told(nvml: Nvml) -> None:
    assert driver_and_gpus() == ("580.95.05", ("NVIDIA H100", "NVIDIA L4", "NVIDIA L4", "NVIDIA H100"))
    assert nvml.open == 0


def test_without_a_driver_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    Nvml(monkeypatch)
    monkeypatch.setattr(pynvml, "nvmlInit", fails)
    monkeypatch.setattr(pynvml, "nvmlShutdown", fails)
    assert driver_and_gpus() == (None, ())
    assert read_gpu("0", ()) is None


def test_cores_are_fast_physical_ones_from_the_end(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = set(range(8))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed)
    assert cores_for(1) == cores_for(5) == [2, 0, 7, 6, 5, 4]
    assert cores_for(6) is None  # nothing left for the rest
    allowed -= {2, 7}
    assert cores_for(2) == [3, 0, 6, 5, 4]


def test_a_server_with_siblings_far_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)
    }
    files(root, texts)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert cores_for(3) == [3, 2, 1, 0]
    assert cores_for(4) is None


def test_big_and_little_cores_of_a_phone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capacity = [250, 250, 250, 250, 780, 780, 1024]
    texts = {f"devices/system/cpu/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate(capacity)}
    files(root, texts)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(7)))
    assert cores_for(2) == [6, 5, 4, 3, 2, 1, 0]


def test_cpu_lists() -> None:
    assert conditions._parse_cpu_list("0-2,8,10-11") == (0, 1, 2, 8, 10, 11)
    assert conditions._parse_cpu_list("") == ()
