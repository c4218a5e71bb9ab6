from __future__ import annotations

from dataclasses import replace

import pytest

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import device_slug
from vitas_hw.profiling import place as place_module
from vitas_hw.profiling.backend import BackendInfo
from vitas_hw.profiling.environment import cpu_model, fingerprint
from vitas_hw.profiling.place import TargetAsked, find_place, place_of
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import SubnetFailedError

MACHINE = {
    "onnxruntime": BackendInfo("onnxruntime", "1", {"cpu": "Big CPU"}, ("fp32",)),
    "torch": BackendInfo(
        "torch", "2", {"cpu": "Big CPU", "cuda:0": "NVIDIA H200", "cuda:1": "NVIDIA H200"}, ("fp32", "fp16")
    ),
    "tensorrt": BackendInfo("tensorrt", None, missing="it is not installed", install="pip install tensorrt"),
    "openvino": BackendInfo("openvino", "3", {"cpu": "Big CPU", "gpu": "Intel Arc"}, ("fp32", "fp16", "int8")),
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs and without TensorRT."""
    monkeypatch.setattr(place_module, "backend_info", MACHINE.__getitem__)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("device", "asked", "slug"),
    [
        ("cpu", {}, "big-onnxruntime-fp32-b1-t1-i32"),
        ("cpu", {"backend": "openvino", "precision": "int8", "threads": 4}, "big-openvino-int8-b1-t4-i32"),
        ("cuda", {"precision": "fp16", "batch_size": 64}, "nvidia-h200-torch-fp16-b64-i32"),
        ("cuda:1", {"threads": 4}, "nvidia-h200-torch-fp32-b1-i32"),  # threads are a CPU's
        ("gpu", {"device_name": "laptop"}, "laptop-openvino-fp32-b1-i32"),
    ],
)
def test_what_is_asked_for_becomes_a_target(device: str, asked: dict[str, object], slug: str) -> None:
    place = find_place(TargetAsked(device=device, **asked), (32, 32))  # type: ignore[arg-type]
    assert place.target.slug == slug
    assert place.device == ("cuda:0" if device == "cuda" else device)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("device", "asked", "says"),
    [
        ("tpu", {}, r"Unknown device 'tpu'.*doctor"),
        ("cuda:7", {}, r"no device 'cuda:7' for torch; this machine has: cpu, cuda:0, cuda:1"),
        ("mps", {}, r"no device 'mps'.*Try device=cpu"),
        ("cpu", {"backend": "tflite"}, r"Unknown backend 'tflite'.*onnxruntime"),
        ("cuda", {"backend": "tensorrt"}, r"tensorrt cannot be used: it is not installed. pip install tensorrt"),
        ("cuda", {"backend": "onnxruntime"}, r"no device 'cuda:0' for onnxruntime"),
        ("cpu", {"precision": "fp16"}, r"onnxruntime does not compute in fp16 here, only in fp32"),
    ],
)
def test_what_is_not_here_is_refused_in_one_sentence(device: str, asked: dict[str, str], says: str) -> None:
    with pytest.raises(VitasError, match=says):
        find_place(TargetAsked(device=device, **asked), (32, 32))  # type: ignore[arg-type]


@pytest.mark.usefixtures("machine")
def test_a_known_target_is_found_again_by_its_hardware() -> None:
    there = find_place(TargetAsked(device="cuda:1", device_name="ours"), (32, 32))
    found = place_of(there.target, there.fingerprint)
    assert found is not None
    assert (found.device, found.accelerator) == ("cuda:0", "NVIDIA H200")  # any of the same kind
    assert place_of(there.target, fingerprint("NVIDIA H100")) is None
    on_cpu = find_place(TargetAsked(device="cpu"), (32, 32))
    assert place_of(on_cpu.target, on_cpu.fingerprint) == on_cpu
    assert place_of(on_cpu.target, there.fingerprint) is None


@pytest.mark.usefixtures("machine")
def test_a_gpu_is_known_by_its_cpu_driver_and_power_limit_and_in_older_files_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vitas_hw.profiling.place.gpu_uuid", lambda device: f"uuid of {device}")
    limits = {"uuid of cuda:0": 700, "uuid of cuda:1": 350}
    monkeypatch.setattr("vitas_hw.profiling.place.gpu_setting", lambda uuid: {"power_limit_w": limits[uuid]})
    capped = find_place(TargetAsked(device="cuda:1"), (32, 32))
    assert capped.beside == {"cpu": cpu_model(), "power_limit_w": 350}
    assert place_of(capped.target, capped.fingerprint) == capped  # not the first of that name
    limits["uuid of cuda:1"] = 300
    assert place_of(capped.target, fingerprint("NVIDIA H200", cpu=cpu_model(), power_limit_w=350)) is None
    assert place_of(capped.target, fingerprint("NVIDIA H200")) is not None
    assert (capped.timing(Timing()).anchor_most, find_place(TargetAsked(), (32, 32)).timing(Timing())) == (50, Timing())


@pytest.mark.usefixtures("machine")
def test_a_precision_can_be_compared_with_float32() -> None:
    assert find_place(TargetAsked(device="cpu"), (32, 32)).in_fp32() is None
    half = find_place(TargetAsked(device="cuda", precision="fp16"), (32, 32)).in_fp32()
    assert half is not None
    assert half.target.precision == "fp32"


def test_this_cpu_is_here() -> None:
    place = find_place(TargetAsked(device="cpu"), (32, 32))
    assert place.target.device_name == device_slug(cpu_model())
    assert place.fingerprint == fingerprint()


def test_a_worker_measures_for_real(small: SearchSpace, digits: SearchSpace) -> None:
    with find_place(TargetAsked(device="cpu"), (32, 32)).worker(Timing()) as worker:
        little, large = (worker.visit(subnet) for subnet in (small.smallest, digits.largest))
    assert min(little.samples_ms) * 20 < min(large.samples_ms)  # a thousandth of the MACs
    with pytest.raises(InputError):
        find_place(TargetAsked(device="cpu", threads=0), (32, 32))


def test_terabytes_of_weights_cost_one_row(small: SearchSpace) -> None:
    most = 2**20
    giant = replace(small.largest, embed_dim=most, blocks=(replace(small.largest.blocks[0], mlp_dim=most),))
    with find_place(TargetAsked(device="cpu"), (32, 32)).worker(Timing()) as worker:
        with pytest.raises(SubnetFailedError, match=r"MemoryError: Unable to allocate .* TiB"):
            worker.visit(giant)
        assert worker.visit(small.smallest).samples_ms
