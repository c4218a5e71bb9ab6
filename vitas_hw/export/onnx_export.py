"""A trained plain model as an ONNX file, kept only if it computes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import VitasError
from vitas_hw.core.files import atomic_path
from vitas_hw.core.subnet import Subnet
from vitas_hw.export.onnx_graph import INPUT, onnx_graph

TOLERANCE = 1e-4
_BATCH = 256


@dataclass(frozen=True)
class Parity:
    """The exported file beside torch on N images: largest logit difference, shares of equal and correct top-1."""

    largest_difference: float
    agreement: float
    top1_torch: float
    top1_onnx: float
    images: int


def export_onnx(
    model: VisionTransformer,
    subnet: Subnet,
    path: Path,
    *,
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    metadata: Mapping[str, object],
) -> Parity:
    """Write ``path`` with an open batch size, once ONNX Runtime and torch agree on it.

    Args:
        model: plain model of ``subnet``.
        subnet: its architecture.
        path: replaced in one step, or left as it is.
        images: (N, C, H, W) preprocessed, on which both are compared.
        labels: (N,)
        metadata: stored in the file, each value as JSON.

    Raises:
        VitasError: logits differ by more than 1e-4, or a top-1 differs. Nothing is kept then.
    """
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    texts = {key: json.dumps(value) for key, value in {**metadata, "subnet": subnet.to_dict()}.items()}
    graph = onnx_graph(subnet, weights, metadata=texts)
    onnx.checker.check_model(graph, full_check=True)
    with atomic_path(path) as temporary:
        onnx.save_model(graph, temporary, format="protobuf")
        parity = _parity(model, temporary, images, labels)
        if parity.largest_difference > TOLERANCE or parity.agreement < 1.0:
            raise VitasError(
                f"The export was not kept: its logits differ from torch's by up to {parity.largest_difference:.2g}"
                f" ({TOLERANCE:g} is allowed), top-1 agrees on {parity.agreement:.1%} of {parity.images} images."
            )
    return parity


def onnx_logits(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, num_classes) of an ONNX file for images (N, C, H, W), by ONNX Runtime on the CPU."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    parts = [session.run(None, {INPUT: images[start : start + _BATCH]})[0] for start in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


@torch.inference_mode()
def _parity(
    model: VisionTransformer, path: Path, images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> Parity:
    ours = onnx_logits(path, images)
    torchs = model.eval()(torch.from_numpy(images)).numpy()
    return Parity(
        largest_difference=float(np.abs(ours - torchs).max()),
        agreement=float((ours.argmax(1) == torchs.argmax(1)).mean()),
        top1_torch=float((torchs.argmax(1) == labels).mean()),
        top1_onnx=float((ours.argmax(1) == labels).mean()),
        images=len(images),
    )
