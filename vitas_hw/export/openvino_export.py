"""OpenVINO, and an ONNX graph as its IR."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitas_hw.core.errors import VitasError
from vitas_hw.export.parity import Floats, Program


def load_openvino() -> Any:
    """The module ``openvino`` without its telemetry. Raises VitasError if it is not installed.

    Its import sends a message to its makers from a process that it forks out of a thread: without a network, or with
    other threads about, that process may hang for ever, holding whatever its parent had open. OpenVINO does without
    the package that does this where it is missing; so it is hidden, unless somebody has loaded it before.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # how Python says: not there
    try:
        return import_module("openvino")
    except ImportError as error:
        raise VitasError("OpenVINO is not installed.", "Run: pip install 'vitas-hw[openvino]'") from error


def write_openvino(model: bytes, path: Path, *, half: bool, metadata: Mapping[str, str]) -> None:
    """Write ``path`` (``.xml``) and the ``.bin`` of the same name.

    Args:
        model: an ONNX file.
        path: of the IR.
        half: store the weights as float16.
        metadata: under ``rt_info``.
    """
    ov = load_openvino()
    with TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"  # OpenVINO converts files only
        source.write_bytes(model)
        converted = ov.convert_model(source)
        for key, value in metadata.items():
            converted.set_rt_info(value, ["vitas_hw", key])
        ov.save_model(converted, path, compress_to_fp16=half)


def openvino_program(path: Path) -> Program:
    """An IR as OpenVINO computes it on the CPU in float32 (int8 layers stay int8); left alone it may take bf16."""
    ov = load_openvino()
    core = ov.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Floats) -> Floats:
        logits: Floats = compiled([images])[0].copy()
        return logits

    return run
