"""TensorRT engines from ONNX graphs, by NVIDIA's ``tensorrt`` or by ``tensorrt_rtx``; the latter builds without a GPU.

Networks are strongly typed: every precision is the graph's own, and none is a flag that the builder may ignore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError, VitasError, one_of
from vitas_hw.core.files import atomic_path

LIBRARIES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}  # as we call them: as Python does
_PACKAGES = {library: f"{library}-cu13  # a driver before 580: {library}-cu12" for library in LIBRARIES}
_MOST_MESSAGES = 5
_TYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}


class TimingCache:
    """What the builder of ``tensorrt`` measured of its kernels: later builds on the same GPU are quick.

    ``tensorrt_rtx`` measures nothing while building and ignores it.

    Args:
        path: a file to read now and to replace after every build; None keeps it in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.data = path.read_bytes() if path is not None and path.is_file() else b""

    def keep(self, data: bytes) -> None:
        self.data = data
        if self._path is not None:
            with atomic_path(self._path) as beside:
                beside.write_bytes(data)


def load_library(library: str) -> Any:
    """The Python module of ``tensorrt`` or ``tensorrt-rtx``. Raises VitasError if it cannot be used."""
    missing = library_missing(library)
    if missing:
        raise VitasError(f"{library} cannot be used: {missing}.", f"Run: {install_line(library)}")
    return import_module(LIBRARIES[library])


def library_missing(library: str) -> str:
    """Why the library cannot be imported, in half a sentence; empty if it can."""
    if library not in LIBRARIES:
        raise one_of(library, LIBRARIES, "TensorRT library")
    module = LIBRARIES[library]
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        return "it is not installed" if error.name == module else f"it lacks the module {error.name}"
    except (ImportError, OSError, RuntimeError) as error:  # the package's own import loads shared libraries
        return f"it fails to load: {' '.join(str(error).split())}"
    return ""


def install_line(library: str) -> str:
    """What to type to have it."""
    return f"pip install {_PACKAGES[library]}"


def build_engine(
    model: bytes,
    *,
    library: str,
    precision: str,
    batch_sizes: tuple[int, int, int] | None = None,
    compute_capabilities: Sequence[str] = (),
    timing_cache: TimingCache | None = None,
) -> bytes:
    """A serialised engine of an ONNX model.

    Args:
        model: the serialised graph, with the types that are to run.
        library: ``tensorrt`` (builds for the GPU of this machine, and needs it) or ``tensorrt-rtx`` (needs none).
        precision: what the graph's products run in; anything else in the graph is an error.
        batch_sizes: the smallest, the one to be fastest for, the largest; for a graph with an open batch, and only
            for that.
        compute_capabilities: the GPUs to build for ahead of time, as NVIDIA numbers them (``"8.9"``); only
            tensorrt-rtx. Empty: its default, all from Ampere on.
        timing_cache: shared between builds.

    Raises:
        InputError: an argument does not fit the graph or the library.
        VitasError: the library is not there, or refuses the graph; says the library's own messages.
    """
    trt = load_library(library)
    log = new_log(trt)
    builder = _builder(trt, log, library)
    network, parser = parse_network(trt, builder, log, model)
    found = network_precision(trt, network)
    if found != precision:
        raise InputError(
            f"The graph's products run in {found}, not in {precision}.", f"Write the graph in {precision}."
        )
    config = builder.create_builder_config()
    _set_batch(builder, config, network, batch_sizes)
    _set_capabilities(trt, config, library, compute_capabilities)
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and then fp32 is not
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # without it no CUDA graph can capture an inference
    cache = timing_cache if library == "tensorrt" else None  # the other times no kernels while it builds
    if cache is not None and not config.set_timing_cache(config.create_timing_cache(cache.data), ignore_mismatch=False):
        # of another GPU or version: begin anew
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    del parser  # it owns the weights that the network reads until here
    if engine is None:
        raise VitasError(f"{library} could not build the engine: {said(log.messages)}")
    if cache is not None:
        cache.keep(bytes(config.get_timing_cache().serialize()))
    return bytes(engine)


def new_log(trt: Any) -> Any:
    """A logger that keeps errors, as text, in ``messages``."""

    class Log(trt.ILogger):  # type: ignore[misc]  # the library asks for a subclass
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.messages.append(message)

    return Log()


def parse_network(trt: Any, builder: Any, log: Any, model: bytes) -> tuple[Any, Any]:
    """The strongly typed network of an ONNX model, and the parser that holds its weights: keep both.

    Raises VitasError with what the parser said.
    """
    typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # later versions know nothing else
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        errors = [_parser_error(parser.get_error(index)) for index in range(parser.num_errors)]
        raise VitasError(f"{trt.__name__} cannot read the ONNX graph: {said(errors or log.messages)}")
    return network, parser


def network_precision(trt: Any, network: Any) -> str:
    """What the products of a parsed network run in: int8 if it quantises, else the type of most of them."""
    if any(layer.type == trt.LayerType.QUANTIZE for layer in layers(network)):
        return "int8"
    products = (trt.LayerType.MATRIX_MULTIPLY, trt.LayerType.CONVOLUTION)
    types = Counter(layer.get_output(0).dtype.name for layer in layers(network) if layer.type in products)
    if not types:
        raise InputError("The graph has no product and no convolution, so no precision.")
    most: str = types.most_common(1)[0][0]
    return _TYPES.get(most, most.lower())


def layers(network: Any) -> Iterator[Any]:
    """The layers of a network, in order."""
    return (network.get_layer(index) for index in range(network.num_layers))


def supported_capabilities(trt: Any) -> list[str]:
    """The compute capabilities that tensorrt-rtx builds for, as NVIDIA numbers them: ``["7.5", "8.0", ...]``."""
    digits = (name.removeprefix("SM") for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
    return [f"{number[:-1]}.{number[-1]}" for number in digits]


def default_capabilities(trt: Any) -> list[str]:
    """Those that tensorrt-rtx builds for unless told otherwise: from Ampere on."""
    return [capability for capability in supported_capabilities(trt) if int(capability.partition(".")[0]) >= 8]


def _builder(trt: Any, log: Any, library: str) -> Any:
    try:
        return trt.Builder(log)
    except (TypeError, RuntimeError) as error:  # pybind's word for a constructor that returns nothing
        raise VitasError(f"{library} cannot build here: {said(log.messages or [str(error)])}") from error


def _set_batch(builder: Any, config: Any, network: Any, batch_sizes: tuple[int, int, int] | None) -> None:
    images = network.get_input(0)
    batch, *rest = images.shape
    if (batch == -1) != (batch_sizes is not None):
        given = "without batch sizes" if batch_sizes is None else "with batch sizes"
        there = "an open batch" if batch == -1 else f"a batch of {batch}"
        raise InputError(f"The graph has {there}, and is built {given}.", "Batch sizes go with an open batch.")
    if batch_sizes is None:
        return
    if sorted(batch_sizes) != list(batch_sizes) or batch_sizes[0] < 1:
        raise InputError(
            f"Batch sizes go up from 1, not {', '.join(map(str, batch_sizes))}.",
            "Give the smallest, the most common and the largest, in this order.",
        )
    profile = builder.create_optimization_profile()
    profile.set_shape(images.name, *((size, *rest) for size in batch_sizes))
    config.add_optimization_profile(profile)


def _set_capabilities(trt: Any, config: Any, library: str, wanted: Sequence[str]) -> None:
    if not wanted:
        return
    if library != "tensorrt-rtx":
        raise InputError(f"{library} builds for the GPU of this machine only.", "Use tensorrt-rtx for other ones.")
    for capability in wanted:
        if capability not in supported_capabilities(trt):
            raise one_of(capability, supported_capabilities(trt), f"compute capability of {library}")
    config.num_compute_capabilities = len(wanted)
    for index, capability in enumerate(wanted):
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}"), index)


def _parser_error(error: Any) -> str:
    where = f" (node {error.node_name()!r}, {error.node_operator()})" if error.node_operator() else ""
    return f"{error.desc()}{where}"


def said(messages: Sequence[str]) -> str:
    """The first of a library's messages in one line."""
    more = len(messages) - _MOST_MESSAGES
    first = "; ".join(" ".join(message.split()).rstrip(".") for message in messages[:_MOST_MESSAGES])
    return (first or "it does not say why") + (f"; and {more} more." if more > 0 else ".")
