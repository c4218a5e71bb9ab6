"""What the backends share: images drawn once, ONNX files, the host's clock around a finished inference, checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import CPU_WEIGHT_LIMIT, onnx_graph, random_weights
from vitas_hw.profiling.backend import INPUTS, Floats

Input = TypeVar("Input")
_COARSEST_FIRST = ("int8", "fp16", "bf16", "fp32")


@contextmanager
def runtime_errors(what: str, kind: type[Exception]) -> Iterator[None]:
    """Turns a runtime's errors into a VitasError."""
    try:
        yield
    except kind as error:
        raise VitasError(f"{what}: {error}") from error


def check_precision(target: Target, runs_in: str, where: str, how: str = "") -> None:
    """Raises VitasError if the linears run in another precision than the target's."""
    if runs_in != target.precision:
        raise VitasError(
            f"{where} computes {target.precision} in {runs_in} here{how}.",
            f"Try `precision={runs_in}`.",
            field="precision",
        )


def digest_seed(subnet: Subnet) -> int:
    """The seed of a subnet's random weights and images: the same on every machine."""
    return int(subnet.digest, 16) % 2**32


def random_images(subnet: Subnet, batch_size: int) -> list[Floats]:
    """``INPUTS`` batches (batch_size, in_chans, height, width), standard normal."""
    rng = np.random.default_rng(digest_seed(subnet))
    shape = (batch_size, subnet.in_chans, *subnet.image_size)
    return [rng.standard_normal(shape, np.float32) for _ in range(INPUTS)]


def wall_clock_ms(run: Callable[[Input], object], inputs: Iterator[Input], count: int) -> list[float]:
    """Milliseconds of ``count`` calls of ``run``, which returns once its work is done.

    The next input is taken before the clock starts, so what the iterator does to prepare it is not measured.
    """
    clock, samples = time.perf_counter_ns, []
    for _ in range(count):
        value = next(inputs)
        start = clock()
        run(value)
        samples.append((clock() - start) * 1e-6)
    return samples


def onnx_bytes(subnet: Subnet, target: Target, weights: Mapping[str, Floats] | None, precision: str) -> bytes:
    """The ONNX file of ``subnet`` at the target's batch size; weights from its digest where None are given."""
    drawn = random_weights(subnet, digest_seed(subnet)) if weights is None else weights
    # the latency does not depend on the weights, the logits of an x86 processor without VNNI do
    graph = onnx_graph(subnet, drawn, batch_size=target.batch_size, precision=precision, weight_limit=CPU_WEIGHT_LIMIT)
    model: bytes = graph.SerializeToString()
    return model


def finest(precisions: set[str]) -> str:
    """The finest of several precisions: that of a model whose linears run in all of them.

    Raises:
        VitasError: there are none, or unknown ones.
    """
    if not precisions or not precisions <= set(_COARSEST_FIRST):
        raise VitasError("The runtime does not say in which precision the linears of this model run.")
    return max(precisions, key=_COARSEST_FIRST.index)


def cpu_threads(target: Target) -> int:
    """Raises InputError if a target on a CPU has no number of threads."""
    if target.threads is None:
        raise InputError(f"{target.backend} on a CPU needs a number of threads.", "Try `threads=1`.", field="threads")
    return target.threads
