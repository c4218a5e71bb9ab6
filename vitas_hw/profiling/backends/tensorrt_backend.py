"""TensorRT: engines by NVIDIA's ``tensorrt`` or by ``tensorrt_rtx``, replayed as a CUDA graph of torch's stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import PRECISIONS, Target
from vitas_hw.export.engine_cache import EngineCache, engine_key, timings_in
from vitas_hw.export.engine_record import this_host
from vitas_hw.export.onnx_graph import INPUT, OUTPUT
from vitas_hw.export.tensorrt_engine import (
    TimingCache,
    build_engine,
    install_line,
    library_missing,
    load_library,
    new_log,
    said,
    supported_capabilities,
)
from vitas_hw.profiling.backend import BackendInfo, Floats, Session
from vitas_hw.profiling.backends.common import onnx_bytes, random_images
from vitas_hw.profiling.backends.torch_session import cuda_devices, cuda_session, torch_errors


def info(name: str) -> BackendInfo:
    """What ``tensorrt`` or ``tensorrt-rtx`` can do here: the library, then the GPUs that torch sees and it supports."""
    absent = library_missing(name)
    if absent:
        return BackendInfo(name, None, missing=absent, install=install_line(name))
    trt = load_library(name)
    gpus = cuda_devices()
    devices = {device: gpu for device, gpu in gpus.items() if name == "tensorrt" or _supported(trt, device)}
    missing = ""
    if not gpus:
        missing = "no NVIDIA GPU: engines can be built but not run"
    elif not devices:
        known = ", ".join(supported_capabilities(trt))
        missing = f"{name} runs on GPUs of compute capability {known}, not on {', '.join(set(gpus.values()))}"
    return BackendInfo(name, str(trt.__version__), devices, PRECISIONS, missing)


class TensorRTBackend:
    """Sessions of engines for the target's batch size.

    Args:
        target: its precision is the graph's: networks are strongly typed, and fp32 is not TF32.
        device: ``cuda:N``.

    Raises:
        VitasError: the library is not installed.
    """

    def __init__(self, target: Target, device: str) -> None:
        self._trt = load_library(target.backend)
        self.target = target
        self.version = str(self._trt.__version__)
        self._device = torch.device(device)
        self._timings = TimingCache()
        self._engines: EngineCache | None = None
        self._facts = this_host(target.backend).facts(self._device.index or 0)

    def keep_in(self, folder: Path) -> None:
        """See ``KeepsWork``: engines, and what NVIDIA's builder learnt of its kernels."""
        self._engines = EngineCache(folder)
        self._timings = timings_in(folder, self._facts)

    def open(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> Session:
        with torch_errors(f"{self.target.backend} refused the model"), torch.cuda.device(self._device):
            engine = self.build(subnet, weights)
            drawn = random_images(subnet, self.target.batch_size)
            images = [torch.from_numpy(batch).to(self._device) for batch in drawn]
            before = torch.cuda.memory_allocated()
            loaded = _LoadedEngine(self._trt, engine, self.target.backend)
            return cuda_session(
                loaded.bind,
                images,
                self.target.precision,  # the builder has checked that the graph's is the same
                peak_bytes=lambda: loaded.peak_bytes(torch.cuda.memory_allocated() - before),
            )

    def build(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> bytes:
        """The serialised engine that ``open`` runs; weights from the subnet's digest where None are given.

        One that is kept, see ``keep_in``, is not built again.
        """
        library, precision = self.target.backend, self.target.precision
        model = onnx_bytes(subnet, self.target, weights, precision)

        def built() -> bytes:
            return build_engine(model, library=library, precision=precision, timing_cache=self._timings)

        if self._engines is None:
            return built()
        return self._engines.get(engine_key(model, {"facts": list(self._facts), "precision": precision}), built)


class _LoadedEngine:
    """An engine on the current GPU, with its activations in torch's memory."""

    def __init__(self, trt: Any, engine: bytes, library: str) -> None:
        self._library = library
        self._log = new_log(trt)
        self._runtime = trt.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise VitasError(f"{library} cannot load its engine: {said(self._log.messages)}")
        self._context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if self._context is None:
            raise VitasError(f"{library} cannot run its engine: {said(self._log.messages)}")
        size = max(1, self._engine.device_memory_size_v2)
        self._memory = torch.empty(size, dtype=torch.uint8, device="cuda")
        self._context.set_device_memory(self._memory.data_ptr(), size)

    def peak_bytes(self, torch_bytes: int) -> int | None:
        """Torch's part and the weights, which the library keeps elsewhere; None if it does not tell how many."""
        if not hasattr(self._engine, "get_engine_stat"):  # older versions of tensorrt
            return None
        return torch_bytes + int(self._engine.get_engine_stat())

    def bind(self, images: torch.Tensor) -> Callable[[], torch.Tensor]:
        """One inference on the current stream, from ``images`` to the logits it returns; both stay where they are."""
        self._context.set_input_shape(INPUT, tuple(images.shape))
        logits = torch.empty(tuple(self._context.get_tensor_shape(OUTPUT)), device="cuda")
        self._context.set_tensor_address(INPUT, images.data_ptr())
        self._context.set_tensor_address(OUTPUT, logits.data_ptr())

        def run() -> torch.Tensor:
            if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise VitasError(f"{self._library} failed while running: {said(self._log.messages)}")
            return logits

        return run


def _supported(trt: Any, device: str) -> bool:
    major, minor = torch.cuda.get_device_capability(torch.device(device))
    return f"{major}.{minor}" in supported_capabilities(trt)
