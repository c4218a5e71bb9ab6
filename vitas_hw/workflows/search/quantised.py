"""Finalists of an int8 target scored as int8: what a subnet loses by it differs from one to the next."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from vitas_hw.core.target import Target
from vitas_hw.data.load import ImageData
from vitas_hw.data.splits import Split
from vitas_hw.export.onnx_export import activation_scales, model_graph, onnx_program
from vitas_hw.export.onnx_graph import CPU_WEIGHT_LIMIT
from vitas_hw.searching.result import Candidate
from vitas_hw.workflows.search.finetune import Judge

_CALIBRATED, _SCORED, _BATCH = 256, 512, 64  # images of the search part, evenly spread


def quantised_judge(data: ImageData, target: Target) -> Judge:
    """The loss of a plain model's exported int8 graph, run by ONNX Runtime on some of the search part.

    Steps of the activations come from images of the search part too, as an export takes them. Of a target that ONNX
    Runtime is not the runtime of, the graph is computed node by node, exactly as it is written.
    """
    calibration, scored = _some(data.search, _CALIBRATED), _some(data.search, _SCORED)
    limit = 127 if target.backend == "tensorrt" else CPU_WEIGHT_LIMIT

    def loss(model: nn.Module, candidate: Candidate) -> float:
        scales = activation_scales(model, (images for images, _ in calibration.batches(_BATCH)))
        graph = model_graph(model, candidate.subnet, precision="int8", scales=scales, weight_limit=limit)
        run = onnx_program(graph.SerializeToString(), as_written=target.backend != "onnxruntime")
        losses = [
            F.cross_entropy(torch.from_numpy(run(images.cpu().numpy())), labels.cpu(), reduction="none")
            for images, labels in scored.batches(_BATCH)
        ]
        return float(torch.cat(losses).double().mean())

    return loss


def _some(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.subset(np.linspace(0, len(split) - 1, most).astype(int).tolist())
