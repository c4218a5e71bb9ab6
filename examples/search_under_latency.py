"""Train a supernet, search it under a latency of a device that is not here, export the choice.

The device's predictor is a shipped one, so nothing is measured: the prediction's upper bound decides.

Usage: python search_under_latency.py --latency 1ms --epochs 70
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

import vitas_hw as vh
from vitas_hw.export.onnx_export import model_graph
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.train.settings import TrainSettings
from vitas_hw.workflows.train.train import train

PREDICTOR = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"


def main() -> None:
    """Ends with a file that any ONNX runtime reads."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--latency", default="1ms")
    options.add_argument("--epochs", type=int, default=1, help="70 for a good one")
    options.add_argument("--run", type=Path, default=Path("runs/example"))
    given = options.parse_args()

    predictor = vh.load_predictor(PREDICTOR)
    trained = train(Run(given.run), TrainSettings(epochs=given.epochs), space="vitas-digits")
    supernet = vh.load_supernet(trained.path)
    data = vh.load_data("digits", supernet.space)
    found = vh.search(
        supernet.space,
        supernet=supernet,
        data=data,
        latency=given.latency,
        predictor=predictor,
        population=8,
        generations=3,
    )
    choice = found.choice
    print(f"{choice.subnet.digest}: top-1 {choice.top1:.1%} inherited, {choice.predicted_ms:.3g} ms predicted")
    model = vh.extract(supernet, choice.subnet)  # a plain timm VisionTransformer
    path = given.run / "winner.onnx"
    onnx.save(model_graph(model, choice.subnet), path)
    print(f"ONNX: {path}")


if __name__ == "__main__":
    main()
