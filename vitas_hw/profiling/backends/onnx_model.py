"""What the runtimes that take ONNX files share: a subnet's file, and the check of what it runs in."""

from __future__ import annotations

from collections.abc import Mapping

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import CPU_WEIGHT_LIMIT, onnx_graph, random_weights
from vitas_hw.profiling.backend import Floats
from vitas_hw.profiling.backends.session import digest_seed

_COARSEST_FIRST = ("int8", "fp16", "bf16", "fp32")


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
