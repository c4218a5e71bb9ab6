"""Models written in every format, and the few lines that read each back with its own library alone."""

from __future__ import annotations

from pathlib import Path

from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.export.onnx_export import model_graph
from vitas_hw.export.openvino_export import write_openvino
from vitas_hw.export.timm_export import write_timm
from vitas_hw.export.torch_export import write_torch

UNIFORM = Subnet((32, 32), 1, 8, 36, (Block(3, 12, 41),) * 2, 10)
# from ``model`` (a path) and ``images`` to ``logits``
READERS = {
    "onnx": "import onnxruntime; logits = onnxruntime.InferenceSession(model).run(None, {'images': images})[0]",
    # its telemetry forks, and without a network may hold our pipes for ever (export/openvino_export.py)
    "xml": "sys.modules['openvino_telemetry'] = None; import openvino\n"
    "logits = openvino.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})([images])[0]",
    "pt2": "import torch; logits = torch.export.load(model).module()(torch.from_numpy(images)).detach().numpy()",
    "timm": "import sys, os, torch, timm; sys.path.insert(0, model)\n"
    "if os.path.exists(model + '/vitas_subnet.py'): import vitas_subnet\n"
    "found = timm.create_model('local-dir:' + model, pretrained=True).eval()\n"
    "logits = found(torch.from_numpy(images)).detach().numpy()",
}


def write(model: VisionTransformer, subnet: Subnet, kind: str, path: Path) -> None:
    if kind == "timm":
        path.mkdir()
        how = {"mean": [0.5], "std": [0.2], "interpolation": "bilinear", "crop_pct": 1.0}
        about = {"weights": "drawn", "preprocessing": how, "class_names": list("abcdefghij")}
        write_timm(model, subnet, path, about=about)
    elif kind == "pt2":
        write_torch(model, subnet, path, batch_size=None, metadata={})
    elif kind == "xml":
        write_openvino(model_graph(model, subnet).SerializeToString(), path, half=False, metadata={"data": "digits"})
    else:
        path.write_bytes(model_graph(model, subnet).SerializeToString())
