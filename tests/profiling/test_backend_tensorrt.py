"""TensorRT as a backend: what it says without a GPU, and timm's logits with one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitas_hw.core.errors import VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import PRECISIONS, Target
from vitas_hw.export import tensorrt_engine
from vitas_hw.export.onnx_graph import random_weights
from vitas_hw.profiling.backend import KeepsWork, backend_info, open_backend
from vitas_hw.profiling.backends import tensorrt_backend
from vitas_hw.profiling.backends.tensorrt_backend import TensorRTBackend
from vitas_hw.supernet.plain import build_model

NAMES = ("tensorrt", "tensorrt-rtx")
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}


@pytest.fixture
def subnet(small: SearchSpace) -> Subnet:
    return small.smallest


def target(name: str, precision: str = "fp32") -> Target:
    return Target("here", name, precision, 2, None, (32, 32))


@pytest.mark.parametrize("name", NAMES)
def test_a_library_that_is_not_there_is_missing_with_the_line_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tensorrt_engine.LIBRARIES, name, "no_such_tensorrt")
    found = backend_info(name)
    assert (found.version, found.devices) == (None, {})
    assert "not installed" in found.missing
    assert found.install.startswith("pip install tensorrt")
    with pytest.raises(VitasError, match="pip install tensorrt"):
        open_backend(target(name), "cuda:0")


def test_without_a_gpu_engines_are_built_and_not_run(subnet: Subnet, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    monkeypatch.setattr(tensorrt_backend, "cuda_devices", dict)
    found = backend_info("tensorrt-rtx")
    assert found.version is not None
    assert (found.devices, found.precisions) == ({}, PRECISIONS)
    assert found.missing == "no NVIDIA GPU: engines can be built but not run"
    with pytest.raises(VitasError, match="built but not run"):
        open_backend(target("tensorrt-rtx"), "cuda:0")
    backend = TensorRTBackend(target("tensorrt-rtx", "fp16"), "cuda:0")
    assert backend.version == found.version
    assert len(backend.build(subnet)) > 1000


def test_a_profile_builds_each_engine_once(subnet: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    assert not isinstance(open_backend(Target("here", "onnxruntime", "fp32", 1, 1, (32, 32)), "cpu"), KeepsWork)
    first = TensorRTBackend(target("tensorrt-rtx"), "cuda:0")
    assert isinstance(first, KeepsWork)
    first.keep_in(tmp_path / "engines")
    engine = first.build(subnet)
    again = TensorRTBackend(target("tensorrt-rtx"), "cuda:0")  # the next round's process
    again.keep_in(tmp_path / "engines")
    builds = []
    monkeypatch.setattr(tensorrt_backend, "build_engine", lambda *_, **words: builds.append(words) or b"built")
    assert again.build(subnet) == engine
    assert again.build(subnet, {n: w + 1 for n, w in random_weights(subnet, 0).items()}) == b"built"
    half = TensorRTBackend(target("tensorrt-rtx", "fp16"), "cuda:0")
    half.keep_in(tmp_path / "engines")
    half.build(subnet)
    assert [words["precision"] for words in builds] == ["fp32", "fp16"]


def test_a_gpu_that_the_library_does_not_know_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    monkeypatch.setattr(tensorrt_backend, "cuda_devices", lambda: {"cuda:0": "NVIDIA H200", "cuda:1": "NVIDIA L4"})
    capabilities = {0: (9, 0), 1: (8, 9)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
    found = backend_info("tensorrt-rtx")
    assert (found.devices, found.missing) == ({"cuda:1": "NVIDIA L4"}, "")
    monkeypatch.setattr(tensorrt_backend, "cuda_devices", lambda: {"cuda:0": "NVIDIA H200"})
    found = backend_info("tensorrt-rtx")
    assert found.devices == {}
    assert "8.9" in found.missing
    assert "NVIDIA H200" in found.missing


@pytest.mark.parametrize("loads", [False, True])
def test_an_engine_that_cannot_be_loaded_or_run_says_why(
    loads: bool, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(tensorrt_backend, "random_images", lambda *_: [])  # there may be no GPU to hold them
    monkeypatch.setattr(tensorrt_backend, "build_engine", lambda *_, **__: b"no engine")
    says = r"cannot load its engine: .*bufferSize"  # the library's own words
    if loads:  # where a GPU has too little memory left for the engine's
        engine = SimpleNamespace(create_execution_context=lambda _: None)
        runtime = SimpleNamespace(deserialize_cuda_engine=lambda _: engine)
        monkeypatch.setattr(trt, "Runtime", lambda log: log.log(trt.ILogger.ERROR, "Out of memory") or runtime)
        says = r"cannot run its engine: Out of memory\."
    with pytest.raises(VitasError, match=f"^tensorrt-rtx {says}"):
        TensorRTBackend(target("tensorrt-rtx"), "cuda:0").open(subnet)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_the_gpu_runs_the_model_of_timm(
    name: str, precision: str, subnet: Subnet, randomise: Callable[[object, int], None]
) -> None:
    found = backend_info(name)
    if found.missing:
        pytest.skip(found.missing)
    model = build_model(subnet, seed=0).eval()
    randomise(model, 1)
    device = next(iter(found.devices))
    session = open_backend(target(name, precision), device).open(
        subnet, {key: value.numpy() for key, value in model.state_dict().items()}
    )
    images = np.random.default_rng(0).standard_normal((2, 1, 32, 32), np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    logits = session.logits(images)
    assert logits.shape == expected.shape
    if precision in TOLERANCE:  # int8 without calibration is for timing
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE[precision] * np.abs(expected).max())
    samples = session.samples_ms(7)
    assert len(samples) == 7
    assert min(samples) > 0
    assert session.precision == precision
    assert session.peak_bytes is None or session.peak_bytes > 0
    np.testing.assert_array_equal(session.logits(images), logits)
    session.close()
    with pytest.raises(VitasError, match="closed"):
        session.samples_ms(1)
