from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vitas_hw.profiling import linux
from vitas_hw.profiling.conditions import Conditions, cores_for, pin, snapshot, warnings
from vitas_hw.profiling.linux import Ticks
from vitas_hw.profiling.nvidia import parse_gpu, read_gpu, smi_id

H100 = "1980, 1980, 2619, 41, 121.38, 700.00, 37, 0x0000000000000000\n"  # nvidia-smi's own spacing
THROTTLED = "1095, 1980, 2619, 86, 699.80, 700.00, 100, 0x0000000000000024\n"
GEFORCE = "210, 2100, 405, 38, [N/A], [Not Supported], 0, 0x0000000000000001\n"
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
    ticks=Ticks(1000, 200, 0, 100),
    throttled_total_ms=250.0,
    gpu=None,
    gpu_busy_before=None,
)


def files(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A hybrid laptop's sysfs: two performance cores of two threads each (0-3), four efficiency cores (4-7)."""
    texts = {}
    for cpu in range(8):
        fast = cpu < 4
        folder = f"devices/system/cpu/cpu{cpu}"
        texts |= {
            f"{folder}/cpufreq/scaling_governor": "powersave",
            f"{folder}/cpufreq/scaling_cur_freq": str(400000 + 100000 * cpu),
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
        "class/thermal/thermal_zone0/temp": "58000",
        "class/thermal/thermal_zone1/temp": "-273000",
        "class/thermal/thermal_zone2/temp": "61500",
    }
    return files(tmp_path / "sys", texts)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A system of which process 100 has a child 101, 101 a child 102; 200 is somebody else."""

    def process(parent: int, name: str, *ticks: int) -> str:
        return f"1 ({name}) S {parent} 1 1 0 -1 4194560 10 0 0 0 {' '.join(map(str, ticks))} 20 0 1 0 5 100 100"

    return files(
        tmp_path / "proc",
        {
            "stat": "cpu  500 100 200 1000 50 10 20 120 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\nintr 5",
            "meminfo": "MemTotal: 100 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB",
            "cpuinfo": "processor : 0\ncpu MHz\t\t: 2445.426\n\nprocessor : 1\ncpu MHz\t\t: 1800.000",
            "100/stat": process(1, "python", 10, 20, 3, 4),
            "101/stat": process(100, "a (strange) name 9", 100, 0, 0, 0),
            "102/stat": process(101, "worker", 0, 1000, 0, 0),
            "200/stat": process(1, "other", 7, 7, 7, 7),
            "self/stat": process(1, "python", 10, 20, 3, 4),
        },
    )


def test_ticks_are_ours_with_all_our_descendants(proc: Path) -> None:
    assert linux.read_ticks(100, proc) == Ticks(total=2000, busy=830, steal=120, own=37 + 100 + 1000)
    assert linux.family(101, proc) == {101: 100, 102: 1000}
    assert linux.family(999, proc) == {}
    assert linux.strangers(100, proc) == {200}
    assert linux.strangers(100, proc / "nothing") is None


def test_a_laptop_on_battery_is_described_and_warned_of(laptop: Path, proc: Path) -> None:
    found = snapshot("cpu", sys=laptop, proc=proc)
    assert found.governors == ("powersave",)
    assert found.frequency_mhz == (400.0, 1100.0)
    assert found.temperature_c == 61.5
    assert found.available_bytes == 2048 * 1024
    assert found.on_battery is True
    assert found.gpu is None
    said = warnings(replace(found, load_1m=0.0))
    assert len(said) == 2
    assert "battery" in said[0]
    assert "powersave, not performance" in said[1]
    files(laptop, {"class/power_supply/AC/online": "1"})
    assert linux.on_battery(laptop) is False


def test_a_charged_battery_without_charger_listed_is_no_warning(laptop: Path) -> None:
    files(laptop, {"class/power_supply/AC/type": "Unknown", "class/power_supply/BAT0/status": "Full"})
    assert linux.on_battery(laptop) is False


def test_what_a_platform_does_not_tell_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setenv("PATH", str(tmp_path))
    nothing = tmp_path / "nothing"
    for device in ("cpu", "cuda:0", "cuda", "mps", "gpu", "cuda:x"):
        found = snapshot(device, sys=nothing, proc=nothing)
        assert {value for name, value in found.to_dict().items() if name != "cpus"} == {None}
        assert warnings(found) == []
    assert snapshot("cpu", found, sys=nothing, proc=nothing).others is None
    assert cores_for(1) is None


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 3 4", "cpu a b c d e f g h", "\0"])
def test_odd_files_tell_nothing(text: str, tmp_path: Path) -> None:
    cpu, zone, supply = "devices/system/cpu/cpu0", "class/thermal/thermal_zone0", "class/power_supply/AC"
    names = ["stat", "meminfo", "cpuinfo", f"{os.getpid()}/stat", f"{zone}/temp", f"{supply}/type"]
    names += [f"{cpu}/cpufreq/scaling_cur_freq", f"{cpu}/cpufreq/cpuinfo_max_freq"]
    root = files(tmp_path, dict.fromkeys([*names, f"{cpu}/topology/thread_siblings_list"], text))
    found = snapshot("cpu", sys=root, proc=root)
    assert (found.ticks, found.available_bytes, found.frequency_mhz, found.temperature_c) == (None,) * 4
    assert found.on_battery is None
    assert linux.physical_cores({0, 1}, root) == [1, 0]


@pytest.mark.parametrize(
    ("cgroup", "path", "text"),
    [
        ("0::/", "cpu.stat", "usage_usec 5\nnr_throttled 3\nthrottled_usec {}000"),
        ("0::/kubepods/pod1", "kubepods/pod1/cpu.stat", "nr_throttled 3\nthrottled_usec {}000"),
        ("9:cpuset:/\n4:cpu,cpuacct:/docker/a\n0::/", "cpu,cpuacct/docker/a/cpu.stat", "throttled_time {}000000"),
    ],
)
def test_time_stopped_by_a_quota_is_counted(cgroup: str, path: str, text: str, tmp_path: Path) -> None:
    root = files(tmp_path, {"self/cgroup": cgroup, f"fs/cgroup/{path}": text.format(250)})
    first = snapshot("cpu", sys=root, proc=root)
    assert (first.throttled_total_ms, first.throttled_ms) == (250.0, None)
    files(root, {f"fs/cgroup/{path}": text.format(400)})
    assert snapshot("cpu", first, sys=root, proc=root).throttled_ms == 150.0


def test_clocks_of_a_virtual_machine_come_from_cpuinfo(proc: Path, tmp_path: Path) -> None:
    assert linux.frequencies_mhz(tmp_path / "none", proc) == (1800.0, 2445.426)


def test_shares_are_of_the_time_since_the_previous_snapshot(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getpid", lambda: 100)
    first = snapshot("cpu", proc=proc)
    assert (first.steal, first.others, first.own) == (None, None, None)
    files(proc, {"stat": "cpu  900 100 200 1500 50 10 20 220 0 0"})  # 400 busy, 100 steal of 1000
    text = (proc / "102" / "stat").read_text()
    files(proc, {"102/stat": text.strip().replace(" 0 1000 0 0 ", " 0 1250 0 0 ")})
    second = snapshot("cpu", first, proc=proc)
    assert (second.steal, second.others, second.own) == (0.1, 0.15, 0.25)
    assert snapshot("cpu", second, proc=proc).others is None  # no time between them
    said = warnings(replace(second, load_1m=0.5))
    assert said == [
        "Other processes took the CPUs' time, 15% of it.",
        "The hypervisor gave the CPUs' time to other guests, 10.0% of it.",
    ]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux only")
def test_work_of_a_child_is_ours_while_it_runs_and_after_it_ended() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = linux.read_ticks(os.getpid())
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        during = linux.read_ticks(os.getpid())
        child.communicate(b"\n", timeout=60)
    after = linux.read_ticks(os.getpid())
    assert before
    assert during
    assert after
    assert during.own - before.own >= 25  # 0.3 s at 100 a second, both ends rounded
    assert after.own >= during.own


def test_this_machine_can_be_looked_at() -> None:
    found = snapshot("cpu")
    assert json.loads(json.dumps(found.to_dict()))["cpus"] == os.cpu_count()
    assert all(isinstance(line, str) for line in warnings(found))


def test_a_quiet_machine_gives_no_warning() -> None:
    assert warnings(QUIET) == []
    assert warnings(replace(QUIET, gpu=parse_gpu(H100, "", ()), gpu_busy_before=0.0)) == []
    assert warnings(replace(QUIET, gpu=parse_gpu(GEFORCE, None, ()), gpu_busy_before=0.0)) == []


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
        ({"gpu": parse_gpu(H100, "", ()), "gpu_busy_before": 0.37}, "GPU was busy before the measurement began, 37%"),
        ({"gpu": parse_gpu(H100, "12\n11\n", (12, 13))}, "Others use the GPU, 1 process."),
        ({"gpu": parse_gpu(H100, "12\n13\n11\n", (12, 13, 14))}, "Others use the GPU, 2 processes."),
        ({"gpu": parse_gpu(H100.replace(" 41,", " 84,"), "", ())}, "GPU is hot, 84 °C"),
        ({"gpu": parse_gpu(THROTTLED.replace("86", "70"), "", ())}, "slowed down: power cap, thermal slowdown."),
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


def test_an_h100_line_is_read() -> None:
    gpu = parse_gpu(H100, "4242\n77\n", others=(1, 4242))
    assert gpu is not None
    assert (gpu.sm_mhz, gpu.sm_max_mhz, gpu.memory_mhz, gpu.temperature_c) == (1980.0, 1980.0, 2619.0, 41.0)
    assert (gpu.power_w, gpu.power_limit_w, gpu.busy, gpu.throttling) == (121.38, 700.0, 0.37, ())
    assert gpu.other_processes == 1


def test_what_a_gpu_does_not_tell_is_none() -> None:
    gpu = parse_gpu(GEFORCE, None, ())
    assert gpu is not None
    assert (gpu.power_w, gpu.power_limit_w, gpu.other_processes) == (None, None, None)
    assert gpu.throttling == ()  # idle clocks are no throttling
    lost = parse_gpu("[N/A], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A], [N/A]", "[N/A]\n", ())
    assert lost is not None
    assert (lost.busy, lost.throttling, lost.other_processes) == (None, None, 0)
    for line in ("", "No devices were found", "1, 2, 3"):
        assert parse_gpu(line, "", ()) is None


def test_cuda_visible_devices_renumbers() -> None:
    assert smi_id(1, None) == "1"
    assert smi_id(0, "3,1") == "3"
    assert smi_id(1, "GPU-aa, GPU-bb") == "GPU-bb"
    assert smi_id(2, "3,1") is None
    assert smi_id(0, "") is None


@pytest.mark.parametrize("field", ["clocks_event_reasons.active", "clocks_throttle_reasons.active"])
def test_old_and_new_drivers_are_asked(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"  # knows one of the two names, as a driver of its time
    smi.write_text(
        f'#!/bin/sh\ncase "$*" in\n*query-compute-apps*) echo 12 ;;\n'
        f'"-i 3 "*{field}*) echo "{H100.strip()}" ;;\n*) echo "not a valid field"; exit 2 ;;\nesac\n'
    )
    smi.chmod(smi.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    gpu = read_gpu(0, (12, 14))
    assert gpu is not None
    assert (gpu.sm_mhz, gpu.other_processes) == (1980.0, 1)
    assert snapshot("cuda:0").gpu_busy_before == 0.37
    assert snapshot("cuda:0", QUIET).gpu_busy_before is None
    assert snapshot("cuda:1").gpu is None


def test_cores_are_fast_physical_ones_from_the_end(laptop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = set(range(8))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed)
    assert cores_for(1, sys=laptop) == [2]
    assert cores_for(2, sys=laptop) == [2, 0]
    assert cores_for(3, sys=laptop) == [2, 0, 7]
    assert cores_for(6, sys=laptop) is None  # nothing left for the rest
    allowed -= {2, 7}
    assert cores_for(2, sys=laptop) == [3, 0]


def test_a_server_with_siblings_far_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)
    }
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert cores_for(3, sys=files(tmp_path, texts)) == [3, 2, 1]
    assert cores_for(4, sys=tmp_path) is None


def test_big_and_little_cores_of_a_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capacity = [250, 250, 250, 250, 780, 780, 1024]
    texts = {f"devices/system/cpu/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate(capacity)}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(7)))
    assert cores_for(2, sys=files(tmp_path, texts)) == [6, 5]


def test_cpu_lists() -> None:
    assert linux.parse_cpu_list("0-2,8,10-11") == (0, 1, 2, 8, 10, 11)
    assert linux.parse_cpu_list("") == ()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform cannot pin")
def test_pinning_holds_for_processes_started_afterwards() -> None:
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    try:
        pin([core])
        code = "import os; print(os.sched_getaffinity(0))"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    finally:
        os.sched_setaffinity(0, allowed)
    assert told.strip() == str({core})
