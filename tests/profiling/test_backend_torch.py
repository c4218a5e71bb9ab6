"""PyTorch as a backend: timm's own logits, in the type asked for, timed sample by sample."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import Floats, random_weights
from vitas_hw.profiling.backend import Backend, backend_info, open_backend
from vitas_hw.profiling.backends import torch_backend
from vitas_hw.profiling.backends.common import digest_seed
from vitas_hw.profiling.backends.torch_backend import plain_model
from vitas_hw.profiling.backends.torch_session import capture, cuda_session, session_settings
from vitas_hw.supernet.plain import build_model

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-2, "bf16": 1e-1}


@pytest.fixture
def subnet(small: SearchSpace) -> Subnet:
    return small.smallest


@pytest.fixture
def model(subnet: Subnet, randomise: Callable[[object, int], None]) -> torch.nn.Module:
    model = build_model(subnet, seed=0).eval()
    randomise(model, 1)
    return model


def weights_of(model: torch.nn.Module) -> dict[str, Floats]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def images_of(subnet: Subnet, batch_size: int) -> Floats:
    shape = (batch_size, subnet.in_chans, *subnet.image_size)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def opened(name: str, device: str, precision: str = "fp32", *, batch_size: int = 2, threads: int = 1) -> Backend:
    target = Target("here", name, precision, batch_size, threads if device == "cpu" else None, (32, 32))
    return open_backend(target, device)


def check_against_timm(backend: Backend, subnet: Subnet, model: torch.nn.Module) -> None:
    precision = backend.target.precision
    session = backend.open(subnet, weights_of(model))
    images = images_of(subnet, backend.target.batch_size)
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    assert session.precision == precision
    logits = session.logits(images)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE[precision] * np.abs(expected).max())
    samples = session.samples_ms(7)
    assert len(samples) == 7
    assert min(samples) > 0
    np.testing.assert_array_equal(session.logits(images), logits)  # timing leaves the model as it was
    if precision != "fp32":
        assert np.abs(logits - expected).max() > 1e-6  # it was not float32 after all
    session.close()
    with pytest.raises(VitasError, match="The session is closed"):
        session.samples_ms(1)


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", ["torch", "torch-eager"])
def test_the_cpu_runs_the_model_of_timm(name: str, precision: str, subnet: Subnet, model: torch.nn.Module) -> None:
    check_against_timm(opened(name, "cpu", precision), subnet, model)


@pytest.mark.full
def test_compiled_sessions_stay_compiled_beside_each_other(subnet: Subnet, model: torch.nn.Module) -> None:
    backend = opened("torch-compile", "cpu")
    check_against_timm(backend, subnet, model)
    with torch._dynamo.config.patch(recompile_limit=4):  # type: ignore[attr-defined]  # timm sets it to a million
        sessions = [backend.open(subnet) for _ in range(5)]
    sessions.pop().close()
    with torch.compiler.set_stance("fail_on_recompile"):
        for session in sessions:
            assert len(session.samples_ms(2)) == 2
    for session in sessions:
        session.close()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", ["torch", "torch-eager", "torch-compile"])
def test_the_gpu_runs_the_model_of_timm(name: str, precision: str, subnet: Subnet, model: torch.nn.Module) -> None:
    check_against_timm(opened(name, "cuda:0", precision), subnet, model)


@pytest.mark.gpu
@needs_gpu
def test_a_session_on_the_gpu_tells_its_memory_and_frees_it(subnet: Subnet) -> None:
    workspace = 33 * 2**20  # of cuBLAS on the session's stream; torch 2.11 keeps it, on Hopper 32 MiB
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    session = opened("torch", "cuda:0").open(subnet)
    assert session.peak_bytes is not None
    assert 4 * subnet.params <= session.peak_bytes < 4 * subnet.params + 2**22
    session.close()
    assert torch.cuda.memory_allocated() - before < 4 * subnet.params + workspace


@pytest.mark.gpu
@needs_gpu
def test_a_replayed_graph_reads_the_images_it_is_given(subnet: Subnet) -> None:
    session = opened("torch", "cuda:0").open(subnet)
    images = images_of(subnet, 2)
    assert np.abs(session.logits(images) - session.logits(-images)).max() > 1e-3
    session.close()


def test_a_captured_graph_keeps_the_weights_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed: list[bool] = []
    graph = SimpleNamespace(replay=lambda: replayed.append(True))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    model, images = torch.nn.Linear(3, 2), torch.ones(1, 3)
    weights = weakref.ref(model.weight)
    with torch.inference_mode():  # or the logits would keep the weights, for gradients
        launch = capture(lambda model=model: model(images))  # type: ignore[misc]
        expected = model(images)
    del model
    assert torch.equal(launch(), expected)
    assert replayed == [True]
    assert weights() is not None
    del launch
    gc.collect()
    assert weights() is None


def test_a_session_on_a_stream_times_each_image_and_lets_all_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU would do, on made-up streams and events."""
    log: list[str] = []

    class Event:
        def record(self) -> None:
            log.append("event")

        def elapsed_time(self, end: object) -> float:
            assert log[-1] == "waited"
            return 1.5

    stream = SimpleNamespace(cuda_stream=5, wait_stream=lambda _: None, synchronize=lambda: log.append("waited"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: Event())
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: log.append("freed"))
    weights = torch.full((1, 2), 3.0)
    kept = weakref.ref(weights)

    def bind(images: torch.Tensor, weights: torch.Tensor = weights) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            log.append(f"image {images[0, 0]:.0f}")
            return images * weights

        return run

    images = [torch.full((1, 2), float(value)) for value in (5, 7)]
    session = cuda_session(bind, images, "fp32", as_graph=False, peak_bytes=lambda: 99)
    del bind, weights
    log.clear()
    assert session.samples_ms(3) == [1.5] * 3
    assert log == ["event", "image 5", "event", "event", "image 7", "event", "event", "image 5", "event", "waited"]
    assert session.logits(np.full((1, 2), 2, np.float32)).tolist() == [[6, 6]]
    assert (session.precision, session.peak_bytes) == ("fp32", 99)
    with pytest.raises(InputError, match="takes images"):
        session.logits(np.ones((2, 2), np.float32))
    session.close()
    gc.collect()
    assert kept() is None
    assert log[-1] == "freed"


@pytest.mark.parametrize("drawn", [True, False])
def test_the_model_has_exactly_the_weights_it_is_given(subnet: Subnet, drawn: bool) -> None:
    values = random_weights(subnet, digest_seed(subnet))
    found = plain_model(subnet, None if drawn else values)
    initialised = build_model(subnet, seed=0).eval()  # as before: initial weights, overwritten
    initialised.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
    assert {one.device.type for one in [*found.parameters(), *found.buffers()]} == {"cpu"}
    expected, state = initialised.state_dict(), found.state_dict()
    assert list(state) == list(expected)
    assert all(value.is_contiguous() for value in state.values())
    assert all(torch.equal(state[name], value) and state[name].dtype == value.dtype for name, value in expected.items())
    images = torch.from_numpy(images_of(subnet, 2))
    with torch.inference_mode():
        assert torch.equal(found(images), initialised(images))
    for value in values.values():
        value += 1  # the caller's, not the model's
    assert torch.equal(found.state_dict()["head.bias"], expected["head.bias"])


def test_the_compilers_advice_to_take_tf32_is_no_warning_of_ours(
    subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advising(model: torch.nn.Module) -> torch.nn.Module:
        warnings.warn(
            "TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled.", stacklevel=1
        )
        return model

    monkeypatch.setattr(torch_backend, "_compile", advising)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        opened("torch-compile", "cpu").open(subnet).close()
    assert [str(one.message) for one in seen if "TensorFloat32" in str(one.message)] == []


def test_weights_come_from_the_digest_and_leave_the_generator_alone(subnet: Subnet) -> None:
    state = torch.random.get_rng_state()
    backend = opened("torch", "cpu")
    images = images_of(subnet, 2)
    first, second = (backend.open(subnet).logits(images) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_session_has_its_own_threads_and_gives_them_back(subnet: Subnet, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    threads = before + 1
    session = opened("torch", "cpu", threads=threads).open(subnet)
    seen: list[int] = []
    monkeypatch.setattr(torch.nn.Linear, "__call__", lambda *_: seen.append(torch.get_num_threads()))
    with pytest.raises(AttributeError):  # None has no shape: the first linear ends the forward pass
        session.samples_ms(1)
    assert seen == [threads]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_float32_is_float32_in_a_session_only(before: str) -> None:
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(before)
    try:
        with session_settings():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == before
        assert torch.backends.cuda.matmul.allow_tf32 == (before != "highest")
        assert torch.backends.cudnn.allow_tf32 == convolutions
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="needs torch 2.9 or newer")
def test_the_newer_switches_of_float32_are_put_back_too() -> None:
    switches = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    try:
        switches[0].fp32_precision = "tf32"
        switches[2].fp32_precision = "bf16"
        with session_settings():
            assert [switch.fp32_precision for switch in switches] == ["ieee"] * 3
        assert [switch.fp32_precision for switch in switches] == ["tf32", before[1], "bf16"]
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


@pytest.mark.parametrize("name", ["torch", "torch-eager", "torch-compile"])
def test_what_is_not_there_is_refused(name: str, subnet: Subnet) -> None:
    found = backend_info(name)
    assert (found.version, found.missing) == (torch.__version__, "")
    assert "cpu" in found.devices
    with pytest.raises(InputError, match=r"'int8'.*fp32, fp16, bf16"):
        opened(name, "cpu", "int8")
    with pytest.raises(InputError, match=r"'cuda:99'.*cpu"):
        opened(name, "cuda:99")
    with pytest.raises(InputError, match="threads"):
        open_backend(Target("here", name, "fp32", 1, None, (32, 32)), "cpu")


def test_images_of_another_batch_are_refused(subnet: Subnet) -> None:
    session = opened("torch", "cpu", batch_size=2).open(subnet)
    with pytest.raises(InputError, match=r"\(2, 1, 32, 32\), not \(3, 1, 32, 32\)"):
        session.logits(images_of(subnet, 3))


def test_an_error_of_torch_is_ours(subnet: Subnet) -> None:
    with pytest.raises(VitasError, match="PyTorch refused the model"):
        opened("torch", "cpu").open(subnet, {"cls_token": np.zeros((1, 1, 3), np.float32)})
