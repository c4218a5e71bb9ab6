"""Timing on an NVIDIA GPU by its own clock, for every runtime whose work goes to a CUDA stream of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import torch

from vitas_hw.profiling.backend import Floats
from vitas_hw.profiling.backends.session import OpenSession
from vitas_hw.profiling.backends.torch_settings import check_shape, session_settings, torch_errors

_WARMUP_RUNS = 3  # libraries choose and compile their kernels in the first ones, which no graph may capture


def cuda_devices() -> dict[str, str]:
    """Names of devices (``cuda:0``) to the hardware's own names; empty without an NVIDIA GPU that torch can use."""
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


def cuda_session(
    bind: Callable[[torch.Tensor], Callable[[], torch.Tensor]],
    images: list[torch.Tensor],
    precision: str,
    *,
    as_graph: bool = True,
    peak_bytes: Callable[[], int | None],
) -> OpenSession:
    """A session of a model on an NVIDIA GPU.

    Every inference lies between two events of its own on one stream, and all of them are read after one synchronise.
    The image is copied into the model's input before the first event, so that the copy is not measured. Launches are
    queued without waiting: a model whose launches take longer than its kernels is measured with its launches.

    Args:
        bind: to a tensor that stays where it is, (B, in_chans, height, width): what launches one inference of it on the
            current stream and returns its logits.
        images: tensors like that on the device, in rotation.
        precision: what really runs.
        as_graph: whether a CUDA graph is replayed.
        peak_bytes: asked when all is built.
    """
    static_input, rotating = images[0].clone(), cycle(images)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run = bind(static_input)
        if as_graph:
            run = capture(run)
            run()
        else:
            warm_up(run)
    torch.cuda.synchronize()

    @contextmanager
    def on_stream() -> Iterator[None]:
        with torch_errors("The GPU failed while running"), session_settings(), torch.cuda.stream(stream):
            yield

    def samples_ms(count: int) -> list[float]:
        events = [(_event(), _event()) for _ in range(count)]
        for start, end in events:
            static_input.copy_(next(rotating))
            start.record()
            run()
            end.record()
        stream.synchronize()
        return [start.elapsed_time(end) for start, end in events]

    def logits(images: Floats) -> Floats:
        check_shape(images, static_input)
        static_input.copy_(torch.tensor(images))
        return run().float().cpu().numpy()

    return OpenSession(samples_ms, logits, on_stream, precision, peak_bytes=peak_bytes(), freed=torch.cuda.empty_cache)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
