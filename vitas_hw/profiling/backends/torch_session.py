"""Sessions of runtimes whose work goes to torch: timed by an NVIDIA GPU's own clock, under torch's settings."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any

import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.profiling.backend import Floats, Session

_WARMUP_RUNS = 3  # libraries choose and compile their kernels in the first ones, which no graph may capture
_IN_USE: set[int] = set()  # handles of the streams that carry a live session of this process


def cuda_devices() -> dict[str, str]:
    """``cuda:0`` and its like to the hardware's own names; empty without an NVIDIA GPU that torch can use."""
    if not torch.cuda.is_available():
        return {}
    return {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}


class OwnStream:
    """A stream that no other live session of this process works on; it may be taken again when this object is gone.

    Torch hands streams out of a ring of 32, so a new one may be that of a session which is still open. When a captured
    graph is freed, torch (2.12 to 2.14) frees cuBLAS's workspace of the graph's stream too, and a graph of another
    session on that stream would read freed memory: an illegal access, after which nothing runs in the process
    (https://github.com/pytorch/pytorch/issues/193402).

    Raises:
        VitasError: all streams of torch are in use.
    """

    def __init__(self) -> None:
        drawn: set[int] = set()
        while True:
            self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            handle = self.stream.cuda_stream
            if handle not in _IN_USE:
                break
            if handle in drawn:  # once around
                raise VitasError(f"All {len(drawn)} streams of torch carry open sessions.", "Close some of them.")
            drawn.add(handle)
        _IN_USE.add(handle)
        weakref.finalize(self, _IN_USE.discard, handle)


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
    own: OwnStream | None = None,
    as_graph: bool = True,
    peak_bytes: Callable[[], int | None],
) -> Session:
    """A session of a model on an NVIDIA GPU.

    Every inference lies between two events of its own on one stream, and all of them are read after one synchronise.
    The image is copied into the model's input before the first event, so that the copy is not measured. Launches are
    queued without waiting: a model whose launches take longer than its kernels is measured with its launches.

    Args:
        bind: to a tensor that stays where it is, (B, in_chans, height, width): what launches one inference of it on the
            current stream and returns its logits.
        images: tensors like that on the device, in rotation.
        precision: what really runs.
        own: the stream to work on; None takes a new one.
        as_graph: whether a CUDA graph is replayed.
        peak_bytes: asked when all is built.
    """
    static_input, rotating = images[0].clone(), cycle(images)
    mine = own or OwnStream()  # held by samples_ms, so that it ends with the graph
    stream = mine.stream
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
        mine.stream.synchronize()
        return [start.elapsed_time(end) for start, end in events]

    def logits(images: Floats) -> Floats:
        check_shape(images, static_input)
        static_input.copy_(torch.tensor(images))
        return run().float().cpu().numpy()

    return Session(samples_ms, logits, on_stream, precision, peak_bytes=peak_bytes(), freed=torch.cuda.empty_cache)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


@contextmanager
def session_settings(threads: int | None = None) -> Iterator[None]:
    """The CPU threads of a session, no gradients, float32 that is float32; all as before afterwards.

    No TF32 on a GPU and no bfloat16 on a CPU takes the place of float32. Torch since 2.9 has a switch for every library
    and operation, and refuses to read the older, common ones while both disagree: so both are set, and an older one
    only where it can be read and put back.
    """
    threads_before, older, newer = torch.get_num_threads(), _older_switches(), _newer_switches()
    before = [owner.fp32_precision for owner in newer]
    if threads is not None:
        torch.set_num_threads(threads)
    for put, _, full in older:
        put(full)
    for owner in newer:
        owner.fp32_precision = "ieee"
    try:
        with torch.inference_mode():
            yield
    finally:
        for put, value, _ in older:
            put(value)
        for owner, value in zip(newer, before, strict=True):
            owner.fp32_precision = value
        if threads is not None:
            torch.set_num_threads(threads_before)


def _older_switches() -> list[tuple[Callable[[Any], None], Any, Any]]:
    """Setter, present value and the value for full float32, of those that can be read."""

    def put_cudnn(allowed: bool) -> None:
        torch.backends.cudnn.allow_tf32 = allowed

    found: list[tuple[Callable[[Any], None], Any, Any]] = []
    with suppress(RuntimeError):  # somebody has used the newer switches
        found.append((torch.set_float32_matmul_precision, torch.get_float32_matmul_precision(), "highest"))
    with suppress(RuntimeError):
        found.append((put_cudnn, torch.backends.cudnn.allow_tf32, False))
    return found


def _newer_switches() -> list[Any]:
    libraries: Any = torch.backends
    if not hasattr(libraries.cuda.matmul, "fp32_precision"):
        return []
    cudnn, mkldnn = libraries.cudnn, libraries.mkldnn
    return [libraries.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv]


@contextmanager
def torch_errors(what: str) -> Iterator[None]:
    """Turns torch's errors (out of memory, a kernel that fails, a compiler that gives up) into a VitasError."""
    try:
        yield
    except RuntimeError as error:  # the base of torch's own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise VitasError(f"{what}: {reason}") from error


def check_shape(images: Floats, expected: torch.Tensor) -> None:
    """Raises InputError if the images do not have the shape that the session was opened for."""
    if images.shape != tuple(expected.shape):
        raise InputError(f"The session takes images {tuple(expected.shape)}, not {images.shape}.")
