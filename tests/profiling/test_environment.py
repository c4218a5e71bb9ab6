from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitas_hw.core.target import device_slug
from vitas_hw.profiling import environment as machine


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
    assert device_slug(machine.cpu_model()) == "arm-0x41-0xd40"
    assert found[0] == found[1] != found[2]


def test_an_accelerator_is_the_hardware_that_counts() -> None:
    assert (
        machine.fingerprint("NVIDIA H200") == machine.fingerprint("NVIDIA H200") != machine.fingerprint("NVIDIA H100")
    )
    assert machine.environment({}, "NVIDIA H200")["hardware"]["accelerator"] == "NVIDIA H200"


def test_cpu_driver_and_power_limit_of_a_gpu_count_too() -> None:
    beside = {"cpu": "AMD EPYC 9654", "driver": "580.95.05", "power_limit_w": 700}
    others = [beside | change for change in ({"cpu": "Xeon"}, {"driver": "570.1"}, {"power_limit_w": 350})]
    marks = [machine.fingerprint("NVIDIA H200", **facts) for facts in (beside, {}, *others)]
    assert len(set(marks)) == 5
    about = machine.environment({}, "NVIDIA H200", **beside)
    assert about["fingerprint"] == marks[0]
    assert about["hardware"].items() >= beside.items()
