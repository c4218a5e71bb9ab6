"""ONNX Runtime on the CPU, and its CUDA and TensorRT providers.

All optimizations and the defaults of the runtime, as a deployment gets them: threads of the pool spin while they wait,
one operator runs after the other. Not the default: CUDA's fp32 is fp32 and not TF32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from itertools import cycle
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime as ort

from vitas_hw.core.errors import VitasError, brief
from vitas_hw.core.files import writing
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.export.engine_cache import EngineCache, engine_key
from vitas_hw.export.onnx_graph import INPUT, OUTPUT
from vitas_hw.export.tensorrt_engine import library_missing
from vitas_hw.profiling.backend import BackendInfo, Floats, Session
from vitas_hw.profiling.backends.common import (
    check_precision,
    cpu_threads,
    finest,
    onnx_bytes,
    random_images,
    runtime_errors,
    wall_clock_ms,
)
from vitas_hw.profiling.backends.provider_library import CUDA, TENSORRT, refusal
from vitas_hw.profiling.environment import cpu_model

_INSTALL_CUDA = "pip install 'onnxruntime-gpu[cuda,cudnn]>=1.28'  # a driver before 580: '<1.27'"
_CUDA, _TENSORRT, _CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"
_TYPES = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
}
_PROBE = Subnet((16, 16), 1, 8, 16, (Block(2, 8, 32),), 8)


def info(name: str) -> BackendInfo:
    """What ONNX Runtime can do here; a provider for GPUs is tried with a tiny model: it may be there and not load."""
    provider = _TENSORRT if name == "onnxruntime-trt" else _CUDA
    there = provider in ort.get_available_providers()
    gpus: Mapping[str, str] = {}
    if there:  # torch costs seconds to import
        from vitas_hw.profiling.backends.torch_session import cuda_devices

        gpus = cuda_devices()
    install = _INSTALL_CUDA if not there and which("nvidia-smi") else ""
    failed = _gpu_failure(name, next(iter(gpus))) if gpus else ""
    if name == "onnxruntime-trt":
        missing = failed if gpus else "there is no CUDA device" if there else f"this ONNX Runtime has no {provider}"
        gpus = {} if failed else gpus
        return BackendInfo(name, ort.__version__, gpus, ("fp32", "fp16", "int8"), missing, install)
    gpus = {} if failed else gpus
    devices = {"cpu": cpu_model(), **gpus}
    try:
        precisions = dict.fromkeys([*_cpu_precisions(), *(["fp16"] if gpus else [])])
    except VitasError as error:  # a full disk, for one
        return BackendInfo(
            name, ort.__version__, devices, (), f"it cannot run a small model: {brief(error.problem).rstrip('.')}"
        )
    return BackendInfo(name, ort.__version__, devices, tuple(precisions), "", install, failed)


@lru_cache
def _gpu_failure(name: str, device: str) -> str:
    """Why a tiny model does not run there, in half a sentence; empty if it does."""
    target = Target("probe", name, "fp32", 1, None, _PROBE.image_size)
    kind = TensorRTProviderBackend if name == "onnxruntime-trt" else OnnxRuntimeBackend
    try:
        kind(target, device).open(_PROBE).samples_ms(1)
    except VitasError as error:
        return brief(error.problem).rstrip(".")
    return ""


class OnnxRuntimeBackend:
    """Opens sessions whose linears run in the target's precision, and wholly on its device: ``cpu`` or ``cuda:N``.

    Raises:
        InputError: a CPU without a number of threads.
    """

    def __init__(self, target: Target, device: str) -> None:
        self.target = target
        self.version: str = ort.__version__
        self._device, self._index = device.partition(":")[0], int(device.partition(":")[2] or 0)
        self._threads = cpu_threads(target) if self._device == "cpu" else 1
        self._runs_in: str | None = None  # known once the first subnet is open; the same for all

    def open(self, subnet: Subnet, weights: Mapping[str, Floats] | None = None) -> Session:
        """A session of ``subnet``, timed by the host's clock, images and logits bound to the device.

        Raises:
            VitasError: the runtime refuses it, would run part of it on the CPU instead of the GPU, or would compute its
                linears in another precision than the target's.
        """
        model = onnx_bytes(subnet, self.target, weights, self.target.precision)
        if self._runs_in is None:
            # TensorRT's engine hides its types: what the graph and the flags say
            told = self.target.backend == "onnxruntime-trt"
            self._runs_in = (
                self.target.precision if told else effective_precision(model, self._options(), self._provider(model))
            )
        how = ", converting to it and back around each product"
        check_precision(self.target, self._runs_in, f"ONNX Runtime on {self._device}", how)
        session = _runtime_session(model, self._options(), self._provider(model))
        images = random_images(subnet, self.target.batch_size)
        bindings = cycle([_binding(session, batch, self._device, self._index) for batch in images])
        return _session(session, bindings, self._runs_in)

    def _provider(self, model: bytes) -> tuple[str, dict[str, object]]:  # noqa: ARG002  # of a kind that builds engines
        if self._device == "cpu":
            return _CPU, {}
        return _CUDA, {"device_id": self._index, "use_tf32": 0}

    def _options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        if self._device != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return options


class TensorRTProviderBackend(OnnxRuntimeBackend):
    """The same by ONNX Runtime's TensorRT provider, which builds an engine for each session.

    It has no switch for TF32: fp32 is fp32 only where ``NVIDIA_TF32_OVERRIDE=0`` is set before anything of NVIDIA's is
    loaded, as a measuring process does.
    """

    _folder: Path | None = None

    def keep_in(self, folder: Path) -> None:
        """See ``KeepsWork``: engines and timings of kernels, by the provider itself."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def _provider(self, model: bytes) -> tuple[str, dict[str, object]]:
        options: dict[str, object] = {"device_id": self._index}
        options |= {f"trt_{kind}_enable": self.target.precision == kind for kind in ("fp16", "int8")}
        if self._folder is not None:
            options |= {f"trt_{what}_cache_enable": True for what in ("engine", "timing")}
            options |= {f"trt_{what}_cache_path": str(self._folder) for what in ("engine", "timing")}
            # the provider names engines by the graph's nodes, and subnets of one depth have the same
            facts = {"version": self.version, "precision": self.target.precision, "gpu": self._index}
            options["trt_engine_cache_prefix"] = key = engine_key(model, facts)[:32]
            EngineCache(self._folder).used(key)
        return _TENSORRT, options


def _session(session: ort.InferenceSession, bindings: Iterator[ort.IOBinding], precision: str) -> Session:
    """By the host's clock, images and logits bound to the device."""
    return Session(
        lambda count: wall_clock_ms(session.run_with_iobinding, bindings, count),
        lambda images: session.run([OUTPUT], {INPUT: images})[0],
        partial(runtime_errors, "ONNX Runtime failed while running", Exception),  # they share no base class
        precision,
    )


def effective_precision(model: bytes, options: ort.SessionOptions, provider: tuple[str, dict[str, Any]]) -> str:
    """In what ONNX Runtime computes the linears: read from the graph as it has optimized it.

    Args:
        model: an ONNX file.
        options: of the session; its file of the optimized graph is set.
        provider: its name and options.

    Raises:
        VitasError: the runtime refuses the model.
        WriteError: there is no room for a copy of it in the folder of temporary files.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        with writing(path):  # of a full disk the runtime says "Protobuf serialization failed"
            path.write_bytes(model)
        options.optimized_model_filepath = str(path)
        _runtime_session(model, options, provider)
        graph = onnx.load(path).graph
    # the type of each matrix of weights where a product reads it: stored, dequantised or cast
    matrices = {tensor.name: tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 2}
    found = set()
    for node in graph.node:
        weights = [name for name in node.input if name in matrices]
        if weights and node.op_type == "DequantizeLinear":
            matrices[node.output[0]] = onnx.TensorProto.FLOAT
        elif weights and node.op_type == "Cast":
            matrices[node.output[0]] = node.attribute[0].i
        elif weights:
            found |= {_TYPES.get(matrices[name], "unknown") for name in weights}
    return finest(found)


@lru_cache
def _cpu_precisions() -> tuple[str, ...]:
    """Those in which the linears of a small subnet really run. Raises VitasError if not even float32 does."""
    found = []
    for precision in ("fp32", "fp16", "int8"):
        target = Target("probe", "onnxruntime", precision, 1, 1, _PROBE.image_size)
        try:
            OnnxRuntimeBackend(target, "cpu").open(_PROBE)
        except VitasError:
            if precision == "fp32":
                raise
        else:
            found.append(precision)
    return tuple(found)


def _refused(provider: str) -> str:
    """What the loader says against the library of a GPU's provider; empty if it loads."""
    if provider == _TENSORRT:
        library_missing("tensorrt")  # its import opens the libraries, which lie where the loader does not look
    return refusal(Path(ort.__file__).parent / "capi" / {_CUDA: CUDA, _TENSORRT: TENSORRT}[provider])


def _runtime_session(
    model: bytes, options: ort.SessionOptions, provider: tuple[str, dict[str, Any]]
) -> ort.InferenceSession:
    """Raises VitasError if the provider cannot be loaded or refuses the model."""
    refused = "" if provider[0] == _CPU else _refused(provider[0])
    if refused:
        raise VitasError(f"ONNX Runtime could not load its {provider[0]}: {refused}.", step="doctor")
    with runtime_errors("ONNX Runtime refused the model", Exception):  # its exceptions share no base class
        # without enable_fallback=0 it tries the CPU by itself, and tells of the error of that
        session = ort.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    session.disable_fallback()
    if session.get_providers()[0] != provider[0]:
        raise VitasError(f"ONNX Runtime could not load its {provider[0]} and fell back to the CPU.", _INSTALL_CUDA)
    return session


def _binding(session: ort.InferenceSession, images: Floats, device: str, index: int) -> ort.IOBinding:
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, ort.OrtValue.ortvalue_from_numpy(images, device, index))
    binding.bind_output(OUTPUT, device, index)
    return binding
