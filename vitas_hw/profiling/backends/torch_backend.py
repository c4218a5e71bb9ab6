"""PyTorch: timm's own model, eager, compiled, or (on an NVIDIA GPU) replayed as a CUDA graph."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import torch
from torch import nn

from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import random_weights
from vitas_hw.profiling.backend import BackendInfo, Floats, Session
from vitas_hw.profiling.backends.common import cpu_threads, digest_seed, random_images, wall_clock_ms
from vitas_hw.profiling.backends.torch_session import (
    OwnStream,
    check_shape,
    cuda_devices,
    cuda_session,
    session_settings,
    torch_errors,
)
from vitas_hw.profiling.environment import cpu_model
from vitas_hw.supernet.plain import build_model

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Forward = Callable[[torch.Tensor], torch.Tensor]


def info(name: str) -> BackendInfo:
    """PyTorch is always installed; the devices are those that it can use."""
    devices = {"cpu": cpu_model(), **cuda_devices()}
    if torch.backends.mps.is_available():
        devices["mps"] = f"{cpu_model()} GPU"
    return BackendInfo(name, str(torch.__version__), devices, tuple(DTYPES))


class TorchBackend:
    """Sessions of one target; weights and images are in the target's type and on the device beforehand.

    - ``torch``: on CUDA one CUDA graph, captured once and replayed; on cpu and mps eager.
    - ``torch-eager``: operator by operator; on CUDA the launches count where they are slower than the kernels.
    - ``torch-compile``: ``torch.compile`` of the whole forward pass for fixed shapes; on CUDA captured as above.

    float32 is float32: no TF32, for products and convolutions alike, while a session of ours runs. On the CPU
    fp16 and bf16 run in that type whether or not the processor has instructions for it, which may be slow.
    Threads and precisions are put back after every call, so that nothing else in the process feels a session.

    Raises:
        InputError: a CPU without a number of threads.
    """

    def __init__(self, target: Target, device: str) -> None:
        self.target = target
        self.version = str(torch.__version__)
        self._device = torch.device(device)
        self._threads = cpu_threads(target) if device == "cpu" else None

    def open(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> Session:
        with torch_errors("PyTorch refused the model"), session_settings(self._threads), warnings.catch_warnings():
            # the compiler recommends TF32
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores for float32", UserWarning)
            if self._device.type == "cuda":
                with torch.cuda.device(self._device):
                    return self._open_cuda(subnet, weights)
            return self._open_host(subnet, weights)

    def _open_host(self, subnet: Subnet, weights: Mapping[str, Floats] | None) -> Session:
        forward, precision = self._forward(subnet, weights)
        if self._device.type == "mps":
            forward = _finished_on_mps(forward)
        images = self._images(subnet)
        like, rotating, threads = images[0], cycle(images), self._threads

        @contextmanager
        def guard() -> Iterator[None]:
            with torch_errors("PyTorch failed while running"), session_settings(threads):
                yield

        def logits(images: Floats) -> Floats:
            check_shape(images, like)
            return forward(torch.tensor(images).to(like)).float().cpu().numpy()

        session = Session(lambda count: wall_clock_ms(forward, rotating, count), logits, guard, precision)
        session.samples_ms(1)  # compiles, where there is something to compile
        return session

    def _open_cuda(self, subnet: Subnet, weights: Mapping[str, Floats] | None) -> Session:
        own = OwnStream()
        with torch.cuda.stream(own.stream):
            _make_workspace(self._device, DTYPES[self.target.precision])
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        forward, precision = self._forward(subnet, weights)
        return cuda_session(
            lambda images: lambda: forward(images),
            self._images(subnet),
            precision,
            own=own,
            as_graph=self.target.backend != "torch-eager",
            peak_bytes=lambda: torch.cuda.max_memory_allocated() - before,
        )

    def _forward(self, subnet: Subnet, weights: Mapping[str, Floats] | None) -> tuple[Forward, str]:
        model = plain_model(subnet, weights).to(self._device, DTYPES[self.target.precision])
        (dtype,) = {parameter.dtype for parameter in model.parameters()}
        precision = next(name for name, known in DTYPES.items() if known == dtype)
        return (_compile(model) if self.target.backend == "torch-compile" else model), precision

    def _images(self, subnet: Subnet) -> list[torch.Tensor]:
        images = random_images(subnet, self.target.batch_size)
        return [torch.from_numpy(batch).to(self._device, DTYPES[self.target.precision]) for batch in images]


def _make_workspace(device: torch.device, dtype: torch.dtype) -> None:
    """Have cuBLAS take its workspace on the current stream: up to 32 MiB, which are not the model's."""
    matrix = torch.ones(16, 16, device=device, dtype=dtype)
    matrix @ matrix
    nn.functional.linear(matrix, matrix, matrix[0])  # by cuBLASLt


def _finished_on_mps(forward: Forward) -> Forward:
    """Calls to an Apple GPU return before it has done its work; these do not."""

    def run(images: torch.Tensor) -> torch.Tensor:
        logits = forward(images)
        torch.mps.synchronize()
        return logits

    return run


def plain_model(subnet: Subnet, weights: Mapping[str, Floats] | None) -> nn.Module:
    """The model of timm in evaluation mode; ``weights`` None draws them from the subnet's digest."""
    with torch.device("meta"):  # initial weights would cost longer than all else, and draw from torch's generator
        model: nn.Module = build_model(subnet)
    values = random_weights(subnet, digest_seed(subnet)) if weights is None else weights
    # drawn weights are transposed views, whose order in memory ``assign`` would take over: other kernels would run
    ordered = {name: torch.from_numpy(np.array(value, order="C")) for name, value in values.items()}
    model.load_state_dict(ordered, assign=True)
    return model.eval()


def _compile(model: nn.Module) -> Forward:
    """``model`` compiled for fixed shapes as one graph, under a code object of its own.

    torch.compile files what it compiled under the code object of the function and stops compiling after a few for
    the same one; all subnets share the code of timm's forward.
    """

    def forward(images: torch.Tensor) -> torch.Tensor:
        return model(images)  # type: ignore[no-any-return]

    own = types.FunctionType(
        forward.__code__.replace(), forward.__globals__, forward.__name__, None, forward.__closure__
    )
    return torch.compile(own, dynamic=False, fullgraph=True)
