"""ONNX Runtime on the CPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.onnx_graph import INPUT, onnx_graph, random_weights

_INPUTS = 4  # images in rotation


def open_session(model: bytes, threads: int) -> ort.InferenceSession:
    """A float32 session on the CPU provider, nothing else. Raises VitasError if the runtime refuses the model."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no base class
        raise VitasError(f"ONNX Runtime refused the model: {error}") from error


class OnnxRuntimeSession:
    """One subnet, its images rotated so that no cache of an input is measured."""

    def __init__(self, session: ort.InferenceSession, shape: tuple[int, ...], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._session = session
        self._images: list[npt.NDArray[np.float32]] = [rng.standard_normal(shape, np.float32) for _ in range(_INPUTS)]
        self._turn = 0

    def run(self) -> None:
        self._turn = (self._turn + 1) % _INPUTS
        try:
            self._session.run(None, {INPUT: self._images[self._turn]})
        except Exception as error:  # the runtime's exceptions share no base class
            raise VitasError(f"ONNX Runtime failed while running: {error}") from error


class OnnxRuntimeCpu:
    """Opens float32 sessions of the target's batch size and threads."""

    def __init__(self, target: Target) -> None:
        if target.backend != "onnxruntime" or target.precision != "fp32" or target.threads is None:
            raise ValueError(f"not a float32 CPU target of ONNX Runtime: {target.slug}")
        self.target = target
        self.version: str = ort.__version__
        self._threads = target.threads

    def open(self, subnet: Subnet) -> OnnxRuntimeSession:
        seed = int(subnet.digest, 16) % 2**32
        batch_size = self.target.batch_size
        model = onnx_graph(subnet, random_weights(subnet, seed), batch_size=batch_size).SerializeToString()
        shape = (batch_size, subnet.in_chans, *subnet.image_size)
        return OnnxRuntimeSession(open_session(model, self._threads), shape, seed)
