"""OpenVINO on CPUs and Intel GPUs, timed as its own ``benchmark_app -hint latency`` does: synchronous inferences, one
request, by the request's own clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import cycle, islice
from typing import Any

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.openvino_export import load_openvino
from vitas_hw.profiling.backend import BackendInfo, Floats, Session
from vitas_hw.profiling.backends.common import (
    check_precision,
    cpu_threads,
    finest,
    onnx_bytes,
    random_images,
    runtime_errors,
)

_CAPABILITIES = {"FP32": "fp32", "FP16": "fp16", "BF16": "bf16", "INT8": "int8"}
_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16", "int8": "f32"}  # int8 says the graph, f32 is for the rest of it
_RUNTIME_TYPES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}


def info(name: str) -> BackendInfo:
    """What OpenVINO can do here."""
    try:
        ov = load_openvino()
    except VitasError:
        return BackendInfo(name, None, missing="it is not installed", install="pip install openvino")
    core = ov.Core()
    known = [device for device in core.available_devices if device.split(".")[0] in ("CPU", "GPU")]
    able = {word for device in known for word in core.get_property(device, "OPTIMIZATION_CAPABILITIES")}
    devices = {device.lower(): str(core.get_property(device, "FULL_DEVICE_NAME")) for device in known}
    precisions = tuple(precision for word, precision in _CAPABILITIES.items() if word in able)
    return BackendInfo(name, ov.get_version(), devices, precisions, "" if devices else "it sees no CPU or GPU")


class OpenVinoBackend:
    """Opens sessions whose linears run in the target's precision, on ``cpu``, ``gpu`` or ``gpu.N``.

    fp16 and bf16 are asked for by OpenVINO's hint on the fp32 graph, as it is used; int8 is the quantised graph.

    Raises:
        InputError: a CPU without a number of threads.
    """

    def __init__(self, target: Target, device: str) -> None:
        ov = load_openvino()
        self.target = target
        self.version: str = ov.get_version()
        self._core, self._tensor, self._device = ov.Core(), ov.Tensor, device.upper()
        self._settings: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[target.precision],
        }
        if self._device == "CPU":
            self._settings["INFERENCE_NUM_THREADS"] = cpu_threads(target)
        self._runs_in: str | None = None  # known once the first subnet is open; the same for all

    def open(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> Session:
        """A session of ``subnet``; see ``Backend.open``.

        Raises:
            VitasError: the runtime refuses it, or computes its linears in another precision than the target's.
        """
        graph = "int8" if self.target.precision == "int8" else "fp32"
        model = onnx_bytes(subnet, self.target, weights, graph)
        with runtime_errors("OpenVINO refused the model", RuntimeError):
            compiled = self._core.compile_model(self._core.read_model(model), self._device, self._settings)
        if self._runs_in is None:
            self._runs_in = effective_precision(compiled)
        check_precision(self.target, self._runs_in, f"OpenVINO on {self._device}")
        # shared with numpy: the images are where the runtime reads them
        tensors = [self._tensor(batch, shared_memory=True) for batch in random_images(subnet, self.target.batch_size)]
        return _session(compiled.create_infer_request(), cycle(tensors), self._runs_in)


def _session(request: Any, tensors: Iterator[Any], precision: str) -> Session:
    """By OpenVINO's own clock, from the start of an inference to its end; on a GPU with copies of images and logits."""

    def samples_ms(count: int) -> list[float]:
        found = []
        for tensor in islice(tensors, count):
            request.set_input_tensor(0, tensor)
            request.infer()
            found.append(request.latency)
        return found

    guard = partial(runtime_errors, "OpenVINO failed while running", RuntimeError)
    return Session(samples_ms, lambda images: request.infer([images])[0].copy(), guard, precision)


def effective_precision(compiled: Any) -> str:
    """In what OpenVINO computes the linears of a compiled model: read from the graph that it executes."""
    kinds = {"fullyconnected", "gemm", "matmul"}
    found: dict[str, set[str]] = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        kind = facts["layerType"].value.lower().replace("_", "")
        found.setdefault(kind, set()).add(facts["runtimePrecision"].value)
    linears = found.get("fullyconnected") or set().union(*(found[kind] for kind in kinds & set(found)))
    return finest({_RUNTIME_TYPES.get(name, "unknown") for name in linears})
