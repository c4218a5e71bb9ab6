"""Streams of live sessions, on torch's ring of streams and its freeing of workspaces, emulated without a GPU."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Self

import numpy as np
import pytest
import torch

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.backend import Session
from vitas_hw.profiling.backends.torch_backend import TorchBackend
from vitas_hw.profiling.backends.torch_session import session_settings
from vitas_hw.profiling.timing import Timing, time_visit

RING = 32
SUBNET = Subnet((16, 16), 1, 8, 16, (Block(2, 8, 32),), 8)
IMAGES = np.random.default_rng(0).standard_normal((1, 1, 16, 16), np.float32)


class Cuda:
    """torch.cuda as of 2.12 to 2.14, as far as sessions use it: work is done at once, on the CPU.

    Streams come from a ring. A graph uses the cuBLAS workspace of its stream, and frees it when it is reset, whoever
    else uses it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs: weakref.WeakSet[Any] = weakref.WeakSet()
        self.current: Any = None
        workspaces: dict[int, object] = {}
        ring, cuda = count(), self

        class Stream:
            def __init__(self) -> None:
                self.cuda_stream = next(ring) % RING

            def wait_stream(self, other: object) -> None:
                pass

            def synchronize(self) -> None:
                pass

        class CUDAGraph:
            def replay(self) -> None:
                if workspaces.get(self.stream) is not self.workspace:
                    raise RuntimeError("CUDA error: an illegal memory access was encountered")

            def __del__(self) -> None:
                workspaces.pop(self.stream, None)

        class Event:
            def record(self) -> None:
                pass

            def elapsed_time(self, end: Self) -> float:
                return 1.0

        @contextmanager
        def use(stream: Stream) -> Iterator[None]:
            before, cuda.current = cuda.current, stream
            try:
                yield
            finally:
                cuda.current = before

        @contextmanager
        def graph(captured: CUDAGraph, stream: Stream) -> Iterator[None]:
            captured.stream = stream.cuda_stream
            captured.workspace = workspaces.setdefault(captured.stream, object())
            cuda.graphs.add(captured)
            yield

        for name, instead in {
            "Stream": Stream,
            "stream": use,
            "current_stream": lambda: cuda.current,
            "CUDAGraph": CUDAGraph,
            "graph": graph,
            "Event": lambda enable_timing: Event(),
            "synchronize": lambda: None,
            "memory_allocated": lambda: 0,
            "max_memory_allocated": lambda: 0,
            "reset_peak_memory_stats": lambda: None,
            "empty_cache": lambda: None,
        }.items():
            monkeypatch.setattr(torch.cuda, name, instead)

    def streams(self) -> list[int]:
        """Of all graphs that are alive."""
        return [graph.stream for graph in self.graphs]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(monkeypatch)


def test_the_workspace_of_a_new_stream_is_not_the_models_memory(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first product on a stream takes 32 MiB, on Hopper; torch counts them as allocated."""
    whole, allocated, warm = torch.nn.functional.linear, [100], set[int]()

    def linear(images: torch.Tensor, *rest: Any) -> torch.Tensor:
        if cuda.current.cuda_stream not in warm:
            warm.add(cuda.current.cuda_stream)
            allocated[0] += 2**25
        return whole(images, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: allocated[0])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: allocated[0] + 7)
    assert opened().peak_bytes == 7
    assert len(warm) == 1


def opened(name: str = "torch") -> Session:
    """A session as on a GPU, its tensors on the CPU."""
    backend = TorchBackend(Target("here", name, "fp32", 1, 1, (16, 16)), "cpu")
    with session_settings():
        return backend._open_cuda(SUBNET, None)


def test_two_hundred_visits_beside_one_anchor_never_share_its_stream(cuda: Cuda) -> None:
    anchor = opened()
    logits = anchor.logits(IMAGES)
    (stream,) = cuda.streams()
    for _ in range(200):
        session = opened()
        assert len(set(cuda.streams())) == len(cuda.streams()) == 2
        time_visit(session, anchor, Timing(max_samples=3))
        session.close()
        del session
        assert cuda.streams() == [stream]  # closing frees the graph itself, no garbage collector needed
    np.testing.assert_array_equal(anchor.logits(IMAGES), logits)
    anchor.close()
    del anchor
    gc.collect()
    for _ in range(2 * RING):  # nothing is kept back
        opened().close()


@pytest.mark.parametrize("name", ["torch", "torch-eager"])
def test_as_many_sessions_as_streams_are_open_at_once_and_no_more(cuda: Cuda, name: str) -> None:
    sessions = [opened(name) for _ in range(RING)]
    for session in sessions:
        assert len(session.samples_ms(2)) == 2
    with pytest.raises(VitasError, match=r"^All 32 streams of torch carry open sessions\. Close some of them\.$"):
        opened(name)
    sessions.pop(5).close()
    assert opened(name).samples_ms(1)
