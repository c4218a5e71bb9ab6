"""Engines are built here for real by tensorrt-rtx, which needs no GPU for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.export import tensorrt_engine
from vitas_hw.export.onnx_graph import onnx_graph, random_weights
from vitas_hw.export.tensorrt_engine import TimingCache, build_engine

trt = pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
RTX = "tensorrt-rtx"


@pytest.fixture
def subnet(small: SearchSpace) -> Subnet:
    return small.smallest


def graph(subnet: Subnet, precision: str = "fp32", batch_size: int | None = 2) -> onnx.ModelProto:
    return onnx_graph(subnet, random_weights(subnet, 0), batch_size=batch_size, precision=precision)


@pytest.mark.parametrize(
    ("precision", "product"), [("fp32", "FLOAT"), ("fp16", "HALF"), ("bf16", "BF16"), ("int8", "FLOAT")]
)
def test_the_precision_is_the_one_of_the_graph(precision: str, product: str, subnet: Subnet) -> None:
    model = graph(subnet, precision).SerializeToString()
    assert len(build_engine(model, library=RTX, precision=precision)) > 1000

    log = tensorrt_engine.new_log(trt)
    builder = trt.Builder(log)
    network, _parser = tensorrt_engine.parse_network(trt, builder, log, model)
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    types = Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in tensorrt_engine.layers(network))
    products = sum(count for (kind, _), count in types.items() if kind == "MATRIX_MULTIPLY")
    assert types["MATRIX_MULTIPLY", product] == products == 6 * subnet.depth + 1
    # int8: the image, four linears a block, the classifier; weights are constants already
    assert types["QUANTIZE", "INT8"] == (4 * subnet.depth + 2 if precision == "int8" else 0)
    assert {network.get_input(0).dtype, network.get_output(0).dtype} == {trt.DataType.FLOAT}


def test_half_precision_keeps_softmax_and_norms_in_float32(subnet: Subnet) -> None:
    log = tensorrt_engine.new_log(trt)
    model = graph(subnet, "fp16").SerializeToString()
    network, _parser = tensorrt_engine.parse_network(trt, trt.Builder(log), log, model)
    types = Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in tensorrt_engine.layers(network))
    kept = {name: count for (name, kind), count in types.items() if kind == "FLOAT" and name != "CAST"}
    norms = sum(count for name, count in kept.items() if "NORM" in name)
    assert (kept["SOFTMAX"], norms) == (subnet.depth, 2 * subnet.depth + 1)
    assert not [name for name, kind in types if kind == "HALF" and (name == "SOFTMAX" or "NORM" in name)]


@pytest.mark.parametrize(("written", "asked"), [("fp32", "fp16"), ("fp16", "fp32"), ("int8", "fp32")])
def test_a_graph_of_another_precision_is_refused(written: str, asked: str, subnet: Subnet) -> None:
    with pytest.raises(InputError, match=f"run in {written}, not in {asked}"):
        build_engine(graph(subnet, written).SerializeToString(), library=RTX, precision=asked)


def test_an_open_batch_goes_with_batch_sizes(subnet: Subnet) -> None:
    opened, fixed = (graph(subnet, batch_size=size).SerializeToString() for size in (None, 2))
    sizes = (1, 4, 16)
    assert build_engine(opened, library=RTX, precision="fp32", batch_sizes=sizes)
    with pytest.raises(InputError, match="open batch, and is built without"):
        build_engine(opened, library=RTX, precision="fp32")
    with pytest.raises(InputError, match="batch of 2, and is built with"):
        build_engine(fixed, library=RTX, precision="fp32", batch_sizes=sizes)
    with pytest.raises(InputError, match="Batch sizes go up from 1, not 4, 2, 8"):
        build_engine(opened, library=RTX, precision="fp32", batch_sizes=(4, 2, 8))


def test_the_profile_holds_the_batch_sizes(subnet: Subnet, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = []
    make = trt.Builder.create_optimization_profile

    def kept(builder: object) -> object:
        profiles.append(make(builder))
        return profiles[-1]

    monkeypatch.setattr(trt.Builder, "create_optimization_profile", kept)
    model = graph(subnet, batch_size=None).SerializeToString()
    build_engine(model, library=RTX, precision="fp32", batch_sizes=(1, 4, 16))
    (profile,) = profiles
    assert [tuple(shape) for shape in profile.get_shape("images")] == [(size, 1, 32, 32) for size in (1, 4, 16)]


def test_compute_capabilities_are_those_of_the_library(subnet: Subnet) -> None:
    model = graph(subnet).SerializeToString()
    assert build_engine(model, library=RTX, precision="fp32", compute_capabilities=["8.9", "12.0"])
    with pytest.raises(InputError, match=r"'9\.0'.*7\.5, 8\.0, 8\.6, 8\.9, 12\.0"):
        build_engine(model, library=RTX, precision="fp32", compute_capabilities=["9.0"])


def test_what_cannot_be_parsed_is_said_in_the_words_of_the_parser(subnet: Subnet) -> None:
    with pytest.raises(VitasError, match=r"cannot read the ONNX graph: .*Failed to parse the ONNX model"):
        build_engine(b"no graph", library=RTX, precision="fp32")
    model = graph(subnet)
    model.graph.node[5].op_type = "Nonsense"
    with pytest.raises(VitasError, match=rf"Plugin not found.*{model.graph.node[5].name}.*Nonsense"):
        build_engine(model.SerializeToString(), library=RTX, precision="fp32")


def small_graph(*nodes: onnx.NodeProto, batch: int | str = 2, **constants: np.ndarray) -> bytes:
    """From ``images`` (batch, 3) to ``logits``."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in ("images", "logits")]
    values = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def test_a_graph_without_products_has_no_precision() -> None:
    relu = helper.make_node("Relu", ["images"], ["logits"])
    with pytest.raises(InputError, match=r"^The graph has no product and no convolution, so no precision"):
        build_engine(small_graph(relu), library=RTX, precision="fp32")


def test_what_cannot_be_built_is_said_in_the_words_of_the_library() -> None:
    nodes = [
        helper.make_node("MatMul", ["images", "weight"], ["product"]),
        helper.make_node("Reshape", ["product", "two"], ["logits"]),  # fits a batch of 2 only
    ]
    constants = {"weight": np.ones((3, 3), np.float32), "two": np.array([2, 3])}
    model = small_graph(*nodes, batch="n", **constants)
    assert build_engine(model, library=RTX, precision="fp32", batch_sizes=(2, 2, 2))
    with pytest.raises(VitasError, match=r"^tensorrt-rtx could not build the engine: .*reshape.*\.$") as caught:
        build_engine(model, library=RTX, precision="fp32", batch_sizes=(4, 4, 8))
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("logged", "says"),
    [
        ((), "pybind11::init(): factory function returned nullptr."),
        (("CUDA initialization failure with error: 35.",), "CUDA initialization failure with error: 35."),
    ],
)
def test_a_machine_without_a_driver_cannot_build(
    logged: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as NVIDIA's own builder ends where there is no GPU; that of tensorrt-rtx needs none
    def refuse(log: trt.ILogger) -> None:
        for text in logged:
            log.log(trt.ILogger.ERROR, text)
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(trt, "Builder", refuse)
    with pytest.raises(VitasError) as caught:
        build_engine(b"", library=RTX, precision="fp32")
    assert str(caught.value) == f"tensorrt-rtx cannot build here: {says}"


def test_a_library_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tensorrt_engine.LIBRARIES, "tensorrt", "no_such_tensorrt")
    with pytest.raises(
        VitasError, match=r"not installed\. Run: pip install tensorrt-cu13  # a driver before 580: tensorrt-cu12$"
    ):
        build_engine(b"", library="tensorrt", precision="fp32")
    with pytest.raises(InputError, match="tensorrt, tensorrt-rtx"):
        build_engine(b"", library="trt", precision="fp32")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorrt-rtx keeps the calls and does nothing in them
def test_a_timing_cache_outlives_its_builds_in_a_file(
    subnet: Subnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # NVIDIA's own library is not to be had here; the other has the same calls
    monkeypatch.setitem(tensorrt_engine.LIBRARIES, "tensorrt", "tensorrt_rtx")
    cache = TimingCache(tmp_path / "timing.cache")
    assert cache.data == b""
    model = graph(subnet).SerializeToString()
    build_engine(model, library="tensorrt", precision="fp32", timing_cache=cache)
    assert cache.data
    assert (tmp_path / "timing.cache").read_bytes() == cache.data == TimingCache(tmp_path / "timing.cache").data
    build_engine(model, library="tensorrt", precision="fp32", timing_cache=TimingCache(tmp_path / "timing.cache"))
    with pytest.raises(InputError, match="GPU of this machine only"):
        build_engine(model, library="tensorrt", precision="fp32", compute_capabilities=["8.9"])
