"""The real Python bindings of TensorRT, on a CPU: beside empty libraries they import, and hold the names that we call.

The libraries' own wheels come from NVIDIA's index only; the bindings are an ordinary wheel that wants nine C symbols.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("vitas_hw/export/tensorrt_engine.py", "vitas_hw/profiling/backends/tensorrt_backend.py")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
)
OURS = {"data", "precision"}  # attributes of our own classes
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
# class, name, and what its signature must hold for the arguments that we give
CALLS = (
    ("Builder", "create_network", "flags:"),
    ("Builder", "create_builder_config", ""),
    ("Builder", "create_optimization_profile", ""),
    ("Builder", "build_serialized_network", "network: config:"),
    ("BuilderFlag", "TF32", ""),
    ("IBuilderConfig", "clear_flag", "BuilderFlag"),
    ("IBuilderConfig", "set_flag", "BuilderFlag"),
    ("IBuilderConfig", "create_timing_cache", "serialized_timing_cache:"),
    ("IBuilderConfig", "set_timing_cache", "ignore_mismatch: bool"),
    ("IBuilderConfig", "get_timing_cache", "ITimingCache"),
    ("IBuilderConfig", "add_optimization_profile", "IOptimizationProfile"),
    ("ITimingCache", "serialize", "IHostMemory"),
    ("IOptimizationProfile", "set_shape", "min: opt: max:"),
    ("ILogger", "log", "severity: msg:"),
    ("ILogger", "INTERNAL_ERROR", ""),
    ("ILogger", "ERROR", ""),
    ("OnnxParser", "parse", "model:"),
    ("OnnxParser", "get_error", "index:"),
    ("OnnxParser", "num_errors", ""),
    ("ParserError", "desc", ""),
    ("ParserError", "node_name", ""),
    ("ParserError", "node_operator", ""),
    ("INetworkDefinition", "get_layer", "index:"),
    ("INetworkDefinition", "get_input", "index:"),
    ("INetworkDefinition", "num_layers", ""),
    ("ILayer", "get_output", "index:"),
    ("ILayer", "type", ""),
    ("ITensor", "dtype", ""),
    ("ITensor", "shape", ""),
    ("ITensor", "name", ""),
    ("LayerType", "QUANTIZE", ""),
    ("LayerType", "MATRIX_MULTIPLY", ""),
    ("LayerType", "CONVOLUTION", ""),
    ("Runtime", "deserialize_cuda_engine", "serialized_engine:"),
    ("ICudaEngine", "create_execution_context", "ExecutionContextAllocationStrategy"),
    ("ICudaEngine", "device_memory_size_v2", ""),
    ("ExecutionContextAllocationStrategy", "USER_MANAGED", ""),
    ("IExecutionContext", "set_device_memory", "memory: size:"),
    ("IExecutionContext", "set_input_shape", "name: shape:"),
    ("IExecutionContext", "get_tensor_shape", "name:"),
    ("IExecutionContext", "set_tensor_address", "name: memory:"),
    ("IExecutionContext", "execute_async_v3", "stream_handle:"),
)
# asked for before they are used: not in every version, or of tensorrt_rtx alone
OPTIONAL = (
    "REQUIRE_USER_ALLOCATION",
    "STRONGLY_TYPED",
    "get_engine_stat",
    "ComputeCapability",
    "num_compute_capabilities",
    "set_compute_capability",
    "__members__",
    "__version__",
    "__name__",
)


DESCRIBE = """
import json, sys
import tensorrt as trt
names = {}
for name in dir(trt):
    kind = getattr(trt, name)
    if isinstance(kind, type):
        names[name] = {one: str(getattr(getattr(kind, one), "__doc__", "")) for one in dir(kind)}
print(json.dumps({"version": trt.__version__, "names": names}))
"""
USE = """
from vitas_hw.core.errors import VitasError
from vitas_hw.export.tensorrt_engine import TimingCache, build_engine, library_missing
from vitas_hw.profiling.backend import backend_info
print(repr(library_missing("tensorrt")))
print(backend_info("tensorrt").missing)
try:
    build_engine(b"", library="tensorrt", precision="fp16", timing_cache=TimingCache())
except VitasError as error:
    print(error)
"""


@pytest.fixture(scope="module", params=["11.4.0.106", "10.16.1.11"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which ``import tensorrt`` finds the wheel of that version and libraries of empty functions."""
    folder, major = tmp_path_factory.mktemp("tensorrt"), request.param.split(".")[0]
    words = ["install", "-q", "--disable-pip-version-check", "--no-deps", "--target", str(folder)]
    pip = [sys.executable, "-m", "pip", *words, f"tensorrt-cu13-bindings=={request.param}"]
    subprocess.run(pip, check=True, timeout=300)
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt/__init__.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"
    )
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in SYMBOLS))
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        made = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)]
        subprocess.run(made, check=True)
    return os.environ | {"PYTHONPATH": f"{folder}:{ROOT}", "LD_LIBRARY_PATH": str(folder), "VERSION": request.param}


def said(program: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def attributes() -> set[str]:
    """Every attribute that the two files read of anything."""
    trees = [ast.parse((ROOT / source).read_text()) for source in SOURCES]
    return {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.full
def test_every_name_and_argument_that_we_give_is_there(environment: dict[str, str]) -> None:
    """Fails if the bindings rename a method or an argument, or if our code calls one that the table does not name."""
    found: dict[str, Any] = json.loads(said(DESCRIBE, environment))
    assert found["version"] == environment["VERSION"]
    names: dict[str, dict[str, str]] = found["names"]
    for kind, name, signature in CALLS:
        assert name in names[kind], (kind, name)
        for word in signature.split():
            assert word in names[kind][name], (kind, name, names[kind][name])
    theirs = {name for members in names.values() for name in members}
    elsewhere = set(dir(str)) | set(dir(dict)) | set(dir(list)) | set(dir(Path)) | OURS
    listed = {name for _, name, _ in CALLS} | {kind for kind, _, _ in CALLS} | set(OPTIONAL)
    assert (attributes() & theirs) - elsewhere <= listed


@pytest.mark.full
def test_without_a_gpu_it_says_so(environment: dict[str, str]) -> None:
    missing, why, built = said(USE, environment).splitlines()
    assert missing == "''"
    assert why == "no NVIDIA GPU: engines can be built but not run"
    assert built.startswith("tensorrt cannot build here: ")
