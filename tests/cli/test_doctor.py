"""The doctor: every backend is told of, and none can kill it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vitas_hw.cli import console
from vitas_hw.cli.main import main
from vitas_hw.core.target import BACKENDS, PRECISIONS
from vitas_hw.profiling.backend import BackendInfo
from vitas_hw.profiling.environment import cpu_model
from vitas_hw.workflows import doctor
from vitas_hw.workflows.doctor import diagnose

CPU = BackendInfo("torch", "2.6", {"cpu": "A CPU"}, ("fp32",))


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> dict[str, BackendInfo | Exception]:
    """What the backends answer; those that are not named answer that they have nothing."""
    answers: dict[str, BackendInfo | Exception] = {"torch": CPU}

    def backend_info(name: str) -> BackendInfo:
        answer = answers.get(name, BackendInfo(name, None, missing="it is not installed"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(doctor, "backend_info", backend_info)
    return answers


def printed_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["doctor", "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_json_holds_this_machine_and_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed_json(capsys)
    assert [row["name"] for row in found["backends"]] == list(BACKENDS)
    for row in found["backends"]:
        assert set(row) == {"name", "version", "devices", "gpu_missing", "precisions", "missing", "install"}
        assert set(row["precisions"]) <= set(PRECISIONS)
        assert row["missing"] or row["devices"]
    machine = found["machine"]
    assert machine["cpu"] == cpu_model()
    assert 1 <= machine["usable_cores"] <= machine["cores"]
    assert machine["disk_free_bytes"] >= 0
    (cpu,) = [row for row in found["devices"] if row["device"] == "cpu" and "torch" in row["backends"]]
    assert cpu["hardware"] == cpu_model()
    assert {"torch-eager", "torch-compile", "onnxruntime"} <= set(cpu["backends"])


def test_a_runtime_that_crashes_is_a_finding(
    ask: dict[str, BackendInfo | Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    ask["openvino"] = OSError("libopenvino.so: cannot open shared object file\nmore lines")
    ask["torch-compile"] = RuntimeError("")
    rows = {row["name"]: row for row in printed_json(capsys)["backends"]}
    assert rows["openvino"]["missing"] == ("it fails to load: OSError: libopenvino.so: cannot open shared object file")
    assert rows["openvino"]["install"] == "pip install --force-reinstall openvino"
    assert rows["torch-compile"]["install"] == "pip install --force-reinstall torch timm"
    assert rows["torch"]["missing"] == ""


def test_every_backend_may_be_broken_or_absent(ask: dict[str, BackendInfo | Exception]) -> None:
    ask |= {name: ModuleNotFoundError("No module named 'x'", name="x") for name in BACKENDS}
    assert {(row.missing, row.install.split()[1]) for row in diagnose().backends} == {("x is not installed", "install")}
    ask |= {name: ImportError("symbol") for name in BACKENDS}
    assert {row.missing for row in diagnose().backends} == {"it fails to load: ImportError: symbol"}
    assert diagnose().devices == ()


def test_a_device_is_told_of_once_with_all_its_backends(ask: dict[str, BackendInfo | Exception]) -> None:
    ask["torch-eager"] = BackendInfo("torch-eager", "2.6", {"cpu": "A CPU", "cuda:0": "NVIDIA H200"}, ("fp32",))
    ask["openvino"] = BackendInfo("openvino", "2026", {"cpu": "A CPU", "gpu": "An iGPU"}, ("fp32",))
    assert [(row.device, row.hardware, row.backends) for row in diagnose().devices] == [
        ("cpu", "A CPU", ("torch", "torch-eager", "openvino")),
        ("cuda:0", "NVIDIA H200", ("torch-eager",)),
        ("gpu", "An iGPU", ("openvino",)),
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal(
    width: int,
    ask: dict[str, BackendInfo | Exception],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask["tensorrt-rtx"] = BackendInfo("tensorrt-rtx", "1.7.1.116", {"cuda:0": "NVIDIA L4"}, PRECISIONS)
    ask["openvino"] = BackendInfo("openvino", "2026.4.1-22982-e213a147257-releases/2026/4", {"cpu": "A CPU"}, ("fp32",))
    ask["tensorrt"] = BackendInfo("tensorrt", None, missing="it is not installed", install="pip install tensorrt")
    monkeypatch.setattr(console.OUT, "_width", width)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    for name in BACKENDS:
        assert f"│ {name} " in printed
    assert "2026.4.1 " in printed
    assert "tensorrt: it is not installed\n    pip install tensorrt\n" in printed


def test_the_driver_is_the_one_that_nvml_tells(
    ask: dict[str, BackendInfo | Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask
    monkeypatch.setattr(doctor, "driver_and_gpus", lambda: ("580.95.05", ("NVIDIA H200", "NVIDIA L4")))
    assert main(["doctor"]) == 0
    assert "NVIDIA  driver 580.95.05: NVIDIA H200, NVIDIA L4\n" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "driver_and_gpus", lambda: (None, ()))
    assert printed_json(capsys)["machine"]["nvidia_driver"] is None


def test_targets_shipped_predictors_and_gaps_are_told(
    ask: dict[str, BackendInfo | Exception], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask["onnxruntime"] = BackendInfo("onnxruntime", "1.20", {"cpu": "A CPU"}, ("fp32", "int8"))
    ask["openvino"] = BackendInfo("openvino", None, missing="it is not installed", install="pip install openvino")
    monkeypatch.setattr(doctor, "_LITTLE_DISK", 2**80)
    monkeypatch.setattr(doctor, "_LITTLE_MEMORY", 2**80)
    found = printed_json(capsys)
    assert {"device": "cpu", "backend": "onnxruntime", "precision": "int8"} in found["targets"]
    assert not [target for target in found["targets"] if target["backend"] == "openvino"]
    names = {path.stem for path in doctor.shipped("predictors").glob("*.json")}
    assert {row["name"] for row in found["predictors"]} == names
    lines = {gap["what"].split(":")[0]: gap["line"] for gap in found["gaps"]}
    assert lines["openvino"] == "pip install openvino"
    assert lines["disk"] == "vitas-hw train --run /another/disk/run"
    assert lines["memory"] == "vitas-hw train --batch-size 16"
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "Targets that vitas-hw profile can measure here" in printed
    assert all(f" {name}\n" in printed for name in names)


def test_a_shipped_predictor_fits_the_machine_that_it_was_measured_on(
    ask: dict[str, BackendInfo | Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask["onnxruntime"] = BackendInfo("onnxruntime", "1.20", {"cpu": "A CPU"}, ("fp32",))
    known = doctor.read_predictor(next(doctor.shipped("predictors").glob("*zen5-onnxruntime*.json")))
    monkeypatch.setattr("vitas_hw.profiling.place.fingerprint", lambda _: known.fingerprint)
    found = printed_json(capsys)
    fitting = {row["name"] for row in found["predictors"] if row["fits"]}
    assert known.name in fitting
    assert not [name for name in fitting if "openvino" in name]
    assert not [gap for gap in found["gaps"] if gap["what"].startswith("predictors")]
