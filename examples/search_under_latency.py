"""Train a supernet, search it under a latency on another device, and export the choice.

The latency comes from a shipped predictor. Nothing is measured here, so the upper bound of the prediction must meet it.

Usage: python search_under_latency.py --latency 0.2ms --epochs 70
"""

from __future__ import annotations

import argparse
from pathlib import Path

import vitas_hw as vh

PREDICTOR = "amd-epyc-zen2-onnxruntime-fp32-b1-t1-i32--digits"


def main() -> None:
    """Ends with an ONNX file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--latency", default="0.2ms")
    options.add_argument("--epochs", type=int, default=1, help="70 for a good one")
    options.add_argument("--run", type=Path, default=Path("runs/example"))
    given = options.parse_args()

    run = vh.Run(given.run, space="digits", data="digits")
    run.train(epochs=given.epochs)
    found = vh.search(
        run.space,
        supernet=run.supernet,
        data=run.images,
        latency=given.latency,
        predictor=vh.load_predictor(PREDICTOR),
        optimizer=vh.optimizers.Surrogate(population=8, generations=3),
    )
    best = found.best
    print(f"{best.digest}: top-1 {best.top1:.1%} inherited, {best.predicted_ms:.3g} ms predicted")
    model = best.model()  # a plain timm VisionTransformer
    exported = vh.export_onnx(model, given.run / "choice.onnx", data=run.images)
    print(f"ONNX: {exported.path}, top-1 {exported.beside.top1:.1%} on the test images")


if __name__ == "__main__":
    main()
