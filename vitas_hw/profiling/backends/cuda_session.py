"""Timing on an NVIDIA GPU by its own clock, for every runtime whose work goes to a CUDA stream of torch."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import torch

from vitas_hw.core.errors import VitasError
from vitas_hw.profiling.backend import Floats
from vitas_hw.profiling.backends.torch_settings import check_shape, session_settings, torch_errors

_WARMUP_RUNS = 3  # libraries choose and compile their kernels in the first ones, which no graph may capture


def cuda_devices() -> dict[str, str]:
    """``--device`` values to the hardware's own names; empty without an NVIDIA GPU that torch can use."""
    if not torch.cuda.is_available():
        return {}
    return {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}


def capture(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """The same work as one CUDA graph, captured on the current stream (not the default one) after a warm-up.

    Args:
        run: launches the work on the current stream, reads and writes memory that stays where it is.

    Returns:
        A function that replays the graph on the current stream; its tensor is overwritten by the next replay. It
        keeps ``run`` and all that it holds alive.
    """
    warm_up(run)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        output = run()
    return _Replay(graph, output, run)


class _Replay:
    """A captured graph with what it reads: the graph knows addresses only and keeps no memory alive."""

    def __init__(self, graph: torch.cuda.CUDAGraph, output: torch.Tensor, captured: Callable[[], torch.Tensor]) -> None:
        self._graph = graph
        self._output = output
        self._captured = captured  # owns the weights

    def __call__(self) -> torch.Tensor:
        self._graph.replay()
        return self._output


def warm_up(run: Callable[[], torch.Tensor]) -> None:
    """Run a few times and wait for the end."""
    for _ in range(_WARMUP_RUNS):
        run()
    torch.cuda.synchronize()


class CudaSession:
    """A model on an NVIDIA GPU.

    Every inference lies between two events of its own on one stream, and all of them are read after one synchronise.
    The image is copied into the model's input before the first event, so that the copy is not measured. Launches are
    queued without waiting: a model whose launches take longer than its kernels is measured with its launches.

    Args:
        run: launches one inference on the current stream, from ``static_input`` to the tensor it returns.
        static_input: (B, in_chans, height, width), what ``run`` reads.
        images: tensors like ``static_input`` on the device, in rotation.
        stream: where everything runs.
        precision: what really runs.
        peak_bytes: most of the device's memory used until now.
    """

    def __init__(
        self,
        run: Callable[[], torch.Tensor],
        *,
        static_input: torch.Tensor,
        images: list[torch.Tensor],
        stream: torch.cuda.Stream,
        precision: str,
        peak_bytes: int | None,
    ) -> None:
        self.precision = precision
        self.peak_bytes = peak_bytes
        self._run: Callable[[], torch.Tensor] | None = run
        self._input = static_input
        self._images = cycle(images)
        self._stream = stream

    def samples_ms(self, count: int) -> list[float]:
        run = self._opened()
        events = [(_event(), _event()) for _ in range(count)]
        with torch_errors("The GPU failed while running"), session_settings(), torch.cuda.stream(self._stream):
            for start, end in events:
                self._input.copy_(next(self._images))
                start.record()
                run()
                end.record()
            self._stream.synchronize()
            return [start.elapsed_time(end) for start, end in events]

    def logits(self, images: Floats) -> Floats:
        run = self._opened()
        check_shape(images, self._input)
        with torch_errors("The GPU failed while running"), session_settings(), torch.cuda.stream(self._stream):
            self._input.copy_(torch.tensor(images))
            return run().float().cpu().numpy()

    def close(self) -> None:
        self._run = None  # and with it the graph, the weights and the activations
        self._images = cycle([])
        self._input = torch.empty(0)
        torch.cuda.empty_cache()

    def _opened(self) -> Callable[[], torch.Tensor]:
        if self._run is None:
            raise VitasError("The session is closed.")
        return self._run


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
