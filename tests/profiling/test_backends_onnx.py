"""ONNX Runtime and OpenVINO as backends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import onnx_graph, random_weights
from vitas_hw.profiling.backend import INPUTS, Backend, KeepsWork, backend_info, open_backend
from vitas_hw.profiling.backends import onnxruntime_backend, openvino_backend, torch_session
from vitas_hw.profiling.backends.common import digest_seed, finest, random_images, wall_clock_ms
from vitas_hw.profiling.backends.onnxruntime_backend import OnnxRuntimeBackend, TensorRTProviderBackend
from vitas_hw.profiling.backends.openvino_backend import OpenVinoBackend
from vitas_hw.profiling.place import TargetAsked, find_place
from vitas_hw.supernet.plain import build_model

RUNTIMES = ("onnxruntime", "openvino")
KINDS = {"onnxruntime": OnnxRuntimeBackend, "openvino": OpenVinoBackend}


def target(runtime: str, precision: str = "fp32", batch: int = 2, threads: int | None = 1) -> Target:
    return Target("here", runtime, precision, batch, threads, (32, 32))


@pytest.fixture(params=RUNTIMES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return open_backend(target(request.param), "cpu")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_say_what_they_can_do_here(runtime: str) -> None:
    found = backend_info(runtime)
    assert (found.name, found.missing) == (runtime, "")
    assert found.version
    assert found.devices["cpu"]
    assert {"fp32", "int8"} <= set(found.precisions)


def test_a_missing_provider_is_said_and_not_replaced_by_the_cpu() -> None:
    if "TensorrtExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has the provider")
    assert "TensorrtExecutionProvider" in backend_info("onnxruntime-trt").missing
    with pytest.raises(VitasError, match="no TensorrtExecutionProvider"):
        open_backend(target("onnxruntime-trt", threads=None), "cuda:0")


GPU_KINDS = {"onnxruntime": OnnxRuntimeBackend, "onnxruntime-trt": TensorRTProviderBackend}


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("runtime", GPU_KINDS)
def test_a_provider_that_falls_back_to_the_cpu_is_an_error(runtime: str, small: SearchSpace) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has the provider")
    with pytest.raises(VitasError, match=r"(fell back to the CPU|refused)"):
        GPU_KINDS[runtime](target(runtime, threads=None), "cuda:0").open(small.smallest)


SAID = "libcublasLt.so.13: cannot open shared object file: No such file or directory"


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """onnxruntime-gpu beside a GPU, without its libraries: what the loader says, and what ONNX Runtime raises."""
    whole = ort.InferenceSession

    def session(model: bytes, options: Any, providers: list[tuple[str, Any]], enable_fallback: int) -> Any:
        if providers[0][0] == "CPUExecutionProvider":
            return whole(model, options, providers=providers)
        raise RuntimeError("fallback to CPU EP has been explicitly disabled by the user.")

    monkeypatch.setattr(ort, "InferenceSession", session)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider"])
    monkeypatch.setattr(torch_session, "cuda_devices", lambda: {"cuda:0": "NVIDIA H200"})
    monkeypatch.setattr(onnxruntime_backend, "refusal", lambda path: SAID if path.suffix == ".so" else "")
    onnxruntime_backend._gpu_failure.cache_clear()
    yield
    onnxruntime_backend._gpu_failure.cache_clear()


@pytest.mark.usefixtures("unloadable")
def test_a_provider_that_does_not_load_says_which_library_lacks(small: SearchSpace) -> None:
    says = r"could not load its CUDAExecutionProvider: libcublasLt\.so\.13: cannot open.*No such file or directory\."
    with pytest.raises(VitasError, match=says) as e:
        OnnxRuntimeBackend(target("onnxruntime", threads=None), "cuda:0").open(small.smallest)
    assert e.value.step == "doctor"
    with pytest.raises(VitasError, match="could not load its TensorrtExecutionProvider: libcublasLt"):
        TensorRTProviderBackend(target("onnxruntime-trt", threads=None), "cuda:0").open(small.smallest)


@pytest.mark.usefixtures("unloadable")
def test_a_provider_that_does_not_load_is_not_called_usable() -> None:
    found = backend_info("onnxruntime")
    assert (set(found.devices), found.missing) == ({"cpu"}, "")
    assert "libcublasLt.so.13" in found.gpu_missing
    with pytest.raises(VitasError, match=r"onnxruntime cannot use the GPU: ONNX Runtime could not load its CUDAExec"):
        open_backend(target("onnxruntime", threads=None), "cuda:0")
    with pytest.raises(VitasError, match=r"onnxruntime cannot use the GPU: .*libcublasLt\.so\.13"):
        find_place(TargetAsked(device="cuda", backend="onnxruntime"), (32, 32))
    assert open_backend(target("onnxruntime"), "cpu")
    tensorrt = backend_info("onnxruntime-trt")
    assert (dict(tensorrt.devices), tensorrt.gpu_missing) == ({}, "")
    assert "libcublasLt.so.13" in tensorrt.missing


def test_the_tensorrt_provider_keeps_an_engine_for_each_graph(
    small: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names engines by the nodes, which subnets of one depth share: only our prefix tells them apart."""
    given: list[dict[str, Any]] = []

    def runtime_session(model: bytes, options: Any, provider: tuple[str, dict[str, Any]]) -> Any:
        given.append(provider[1])
        return None

    monkeypatch.setattr(onnxruntime_backend, "_runtime_session", runtime_session)
    monkeypatch.setattr(onnxruntime_backend, "_binding", lambda *_: None)
    backend = TensorRTProviderBackend(target("onnxruntime-trt", "fp16", threads=None), "cuda:0")
    backend.open(small.smallest)
    assert given.pop() == {"device_id": 0, "trt_fp16_enable": True, "trt_int8_enable": False}
    assert isinstance(backend, KeepsWork)
    backend.keep_in(tmp_path / "engines")
    narrow = replace(small.smallest, num_classes=7)
    for subnet in (small.smallest, narrow, small.smallest):
        backend.open(subnet)
    prefixes = [options["trt_engine_cache_prefix"] for options in given]
    assert prefixes[0] == prefixes[2] != prefixes[1]
    assert all(options["trt_engine_cache_path"] == str(tmp_path / "engines") for options in given)
    assert all(options["trt_engine_cache_enable"] and options["trt_timing_cache_enable"] for options in given)
    kept = tmp_path / "engines" / f"{prefixes[1]}_0_sm90.engine"
    kept.write_bytes(b"engine")
    os.utime(kept, (0, 0))
    backend.open(narrow)
    assert kept.stat().st_mtime > 0  # it goes last where room is short
    other = TensorRTProviderBackend(target("onnxruntime-trt", threads=None), "cuda:0")
    other.keep_in(tmp_path / "engines")
    other.open(narrow)
    assert given[-1]["trt_engine_cache_prefix"] not in prefixes


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_not_there_is_refused(runtime: str) -> None:
    with pytest.raises(InputError, match="Unknown device"):
        open_backend(target(runtime), "cuda:99")
    with pytest.raises(InputError, match="Try threads=1"):
        open_backend(target(runtime, threads=None), "cpu")


def test_logits_are_torchs(backend: Backend, small: SearchSpace, randomise: Callable[[object, int], None]) -> None:
    for subnet in (small.smallest, small.largest):
        model = build_model(subnet).eval()
        randomise(model, 0)
        images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = model(images).numpy()
        session = backend.open(subnet, {name: weight.numpy() for name, weight in model.state_dict().items()})
        session.samples_ms(2)  # other images in between do no harm
        assert np.abs(session.logits(images.numpy()) - expected).max() <= 1e-5 * np.abs(expected).max()
        assert session.precision == "fp32"


def test_weights_come_from_the_digest(backend: Backend, small: SearchSpace) -> None:
    subnet = small.largest
    images = random_images(subnet, 2)[0]
    drawn = backend.open(subnet).logits(images)
    given = backend.open(subnet, random_weights(subnet, digest_seed(subnet))).logits(images)
    assert np.array_equal(drawn, given)
    assert not np.array_equal(drawn, backend.open(subnet, random_weights(subnet, 1)).logits(images))


def test_samples_are_as_many_as_asked_and_grow_with_the_work(
    backend: Backend, small: SearchSpace, digits: SearchSpace
) -> None:
    little, large = backend.open(small.smallest), backend.open(digits.largest)
    for session in (little, large):
        session.samples_ms(3)
    found = [session.samples_ms(7) for session in (little, large)]
    assert [len(samples) for samples in found] == [7, 7]
    assert 0 < 20 * min(found[0]) < min(found[1])  # a thousandth of the MACs


def test_a_closed_session_is_closed(backend: Backend, small: SearchSpace) -> None:
    session = backend.open(small.smallest)
    session.close()
    with pytest.raises(VitasError, match="closed"):
        session.samples_ms(1)
    with pytest.raises(VitasError, match="closed"):
        session.logits(random_images(small.smallest, 2)[0])
    session.close()


def test_wrong_images_are_an_error_that_can_be_read(backend: Backend, small: SearchSpace) -> None:
    with pytest.raises(VitasError, match="failed while running"):
        backend.open(small.smallest).logits(np.zeros((2, 1, 8, 8), np.float32))


def test_images_are_rotated_and_prepared_outside_the_clock() -> None:
    seen: list[int] = []
    turns = iter(range(100))
    samples = wall_clock_ms(seen.append, turns, 5)
    assert seen == [0, 1, 2, 3, 4]
    assert len(samples) == 5
    assert next(turns) == 5


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Hands out the sessions of a runtime itself as they are opened; another can be put in their place."""

    def watch(module: Any, instead: Callable[[Any], Any] = lambda own: own) -> list[Any]:
        seen: list[Any] = []
        whole = module._session

        def session(own: Any, *rest: Any) -> Any:
            seen.append(instead(own))
            return whole(seen[-1], *rest)

        monkeypatch.setattr(module, "_session", session)
        return seen

    return watch


def test_onnx_runtime_rotates_its_bindings(small: SearchSpace, native: Callable[..., list[Any]]) -> None:
    bound: list[object] = []
    native(onnxruntime_backend, lambda _: SimpleNamespace(run_with_iobinding=bound.append))
    session = OnnxRuntimeBackend(target("onnxruntime"), "cpu").open(small.smallest)
    session.samples_ms(3)
    session.samples_ms(INPUTS)
    assert len(set(map(id, bound))) == INPUTS
    assert bound[:3] == bound[INPUTS:]


def test_openvino_rotates_its_tensors(small: SearchSpace, native: Callable[..., list[Any]]) -> None:
    class Recorder:
        def __init__(self, request: Any) -> None:
            self.request = request
            self.inputs: list[Any] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.request, name)

        def set_input_tensor(self, index: int, tensor: Any) -> None:
            self.inputs.append(tensor)
            self.request.set_input_tensor(index, tensor)

    opened = native(openvino_backend, Recorder)
    session = OpenVinoBackend(target("openvino"), "cpu").open(small.smallest)
    (recorder,) = opened
    session.samples_ms(3)
    session.samples_ms(INPUTS)
    assert len({tensor.data.tobytes() for tensor in recorder.inputs}) == INPUTS
    assert recorder.inputs[0].data.tobytes() == recorder.inputs[INPUTS].data.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_the_targets(threads: int, small: SearchSpace, native: Callable[..., list[Any]]) -> None:
    ours, theirs = native(onnxruntime_backend), native(openvino_backend)
    OnnxRuntimeBackend(target("onnxruntime", threads=threads), "cpu").open(small.smallest)
    options = ours[0].get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)
    OpenVinoBackend(target("openvino", threads=threads), "cpu").open(small.smallest)
    compiled = theirs[0].get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    assert compiled.get_property("NUM_STREAMS") == 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_really_runs_int8_products(runtime: str, small: SearchSpace) -> None:
    session = open_backend(target(runtime, "int8"), "cpu").open(small.largest)
    assert session.precision == "int8"
    images = random_images(small.largest, 2)[0]
    exact = open_backend(target(runtime), "cpu").open(small.largest).logits(images)
    # the nominal scale is for timing; what calibrated scales give is in tests/export
    assert 0 < np.abs(session.logits(images) - exact).max() < 0.5 * np.abs(exact).max()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_precision_that_would_run_in_another_is_refused(runtime: str, small: SearchSpace) -> None:
    for precision in {"fp16", "bf16"} - set(backend_info(runtime).precisions):
        backend = KINDS[runtime](target(runtime, precision), "cpu")
        for _ in range(2):
            with pytest.raises(VitasError, match=r"(in (fp32|bf16) here.*Try precision=(fp32|bf16)|refused)"):
                backend.open(small.smallest)
        with pytest.raises(InputError, match="Unknown precision"):
            open_backend(target(runtime, precision), "cpu")


def test_the_check_of_onnx_runtime_sees_products_in_float_behind_a_quantised_graph(small: SearchSpace) -> None:
    """A bias as a vector makes ONNX Runtime compute quantised linears in float32: the reason for three dimensions."""
    model = onnx_graph(small.largest, random_weights(small.largest, 0), batch_size=1, precision="int8")
    effective = _effective(model)
    assert effective == "int8"
    for tensor in model.graph.initializer:
        if tensor.name.endswith("bias") and list(tensor.dims[:2]) == [1, 1]:
            del tensor.dims[:2]
    assert _effective(model) == "fp32"


def _effective(model: onnx.ModelProto) -> str:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime_backend.effective_precision(model.SerializeToString(), options, ("CPUExecutionProvider", {}))


def test_the_check_is_made_once_a_backend(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = onnxruntime_backend.effective_precision
    monkeypatch.setattr(onnxruntime_backend, "effective_precision", lambda *about: (calls.append(1), whole(*about))[1])
    backend = OnnxRuntimeBackend(target("onnxruntime"), "cpu")
    for seed in range(3):
        backend.open(small.sample(seed))
    assert len(calls) == 1


def test_the_finest_precision_counts_and_none_is_guessed() -> None:
    assert finest({"int8", "fp32"}) == "fp32"
    assert finest({"int8"}) == "int8"
    for unclear in (set(), {"fp16", "unknown"}):
        with pytest.raises(VitasError, match="does not say"):
            finest(unclear)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_any_image_size_and_channels(runtime: str) -> None:
    subnet = Subnet((32, 48), 3, 16, 40, (Block(2, 12, 37),), 7)
    found = KINDS[runtime](Target("here", runtime, "fp32", 1, 1, (32, 48)), "cpu").open(subnet)
    assert found.logits(np.zeros((1, 3, 32, 48), np.float32)).shape == (1, 7)


@pytest.mark.gpu
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in ort.get_available_providers(), reason="needs onnxruntime-gpu and an NVIDIA GPU"
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_cuda_provider_computes_the_same(precision: str, digits: SearchSpace) -> None:
    subnet = digits.smallest
    images = random_images(subnet, 2)[0]
    exact = open_backend(target("onnxruntime"), "cpu").open(subnet).logits(images)
    session = open_backend(target("onnxruntime", precision, threads=None), "cuda:0").open(subnet)
    assert session.precision == precision
    tolerance = {"fp32": 1e-4, "fp16": 5e-3}[precision]
    assert np.abs(session.logits(images) - exact).max() <= tolerance * np.abs(exact).max()
    assert len(session.samples_ms(5)) == 5
