"""Our plain model of DeiT-Ti against timm's own ``deit_tiny_patch16_224``: is it as fast where the shapes are equal?

Same weights, one thread, batch 1. In torch both run as they are, eager; in ONNX Runtime ours is the graph of ``export``
and timm's that of torch's legacy exporter, each of a fixed and of an open batch. Inferences of the two
alternate one by one, in an order drawn for each pair; both are built anew several times, since where their memory lies
matters. The ratio is the median of ours by the median of timm's, its interval from resampling the builds.

    python benchmarks/against_timm.py [--builds 8] [--samples 60]
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import onnxruntime as ort
import timm
import torch
from bench_tools import RESULTS, resamples, spread, write
from torch import nn

import vitas_hw as vh
from vitas_hw.export.onnx_export import model_graph
from vitas_hw.export.onnx_graph import INPUT

NAME, SAME = "deit_tiny_patch16_224", "deit-ti"
GOAL = 1.02
Run = Callable[[], Any]


def in_torch(model: nn.Module, image: torch.Tensor) -> Run:
    @torch.inference_mode()
    def run() -> Any:
        return model(image).numpy()

    return run


def in_onnxruntime(model: bytes, image: torch.Tensor) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    images = {session.get_inputs()[0].name: image.numpy()}
    return lambda: session.run(None, images)[0]


def torchs_graph(model: nn.Module, image: torch.Tensor, *, fixed: bool) -> bytes:
    file = BytesIO()
    axes = None if fixed else {INPUT: {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (image,), file, dynamo=False, input_names=[INPUT], output_names=["logits"], dynamic_axes=axes
        )
    return file.getvalue()


def seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternating(pair: dict[str, Run], samples: int, rng: np.random.Generator) -> dict[str, list[float]]:
    """Milliseconds of each, in an order drawn for each pair of inferences."""
    found: dict[str, list[float]] = {name: [] for name in pair}
    for run in pair.values():
        for _ in range(5):
            run()
    for _ in range(samples):
        for name in rng.permutation(list(pair)):
            found[name].append(1000 * seconds(pair[name]))
    return found


def ratio(builds: list[dict[str, list[float]]], rows: np.ndarray) -> float:
    drawn = [builds[row] for row in rows]
    ours, theirs = (np.median(np.concatenate([build[name] for build in drawn])) for name in ("ours", "timm"))
    return float(ours / theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builds", type=int, default=8)
    parser.add_argument("--samples", type=int, default=60)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    subnet = vh.published_subnet(SAME)
    theirs = timm.create_model(NAME, pretrained=False).eval()
    ours = vh.build_model(subnet).eval()
    ours.load_state_dict(theirs.state_dict())
    graphs = {
        words: {
            "ours": model_graph(ours, subnet, batch_size=1 if fixed else None).SerializeToString(),
            "timm": torchs_graph(theirs, image, fixed=fixed),
        }
        for words, fixed in (("onnxruntime, fixed batch", True), ("onnxruntime, open batch", False))
    }
    made: dict[str, list[dict[str, list[float]]]] = {"torch": [], **{words: [] for words in graphs}}
    for build in range(arguments.builds):
        for words, found in made.items():
            pair: dict[str, Run] = {}
            for name in rng.permutation(["ours", "timm"]):
                if words != "torch":
                    pair[name] = in_onnxruntime(graphs[words][name], image)
                    continue
                fresh = vh.build_model(subnet) if name == "ours" else timm.create_model(NAME, pretrained=False)
                fresh.load_state_dict(theirs.state_dict())
                pair[name] = in_torch(fresh.eval(), image)
            difference = float(np.abs(pair["ours"]() - pair["timm"]()).max())
            assert difference < 1e-4, f"{words}: logits differ by {difference}"
            found.append(alternating(pair, arguments.samples, rng))
        print(f"{build + 1}/{arguments.builds}", flush=True)
    result: dict[str, Any] = {"goal": GOAL, "model": NAME, "runtimes": {}}
    for words, builds in made.items():
        every = np.arange(len(builds))
        resampled = [ratio(builds, rows) for rows in resamples(len(builds))]
        low, high = np.percentile(resampled, (2.5, 97.5))
        both = {name: spread([ms for build in builds for ms in build[name]]) for name in ("ours", "timm")}
        row = {"ratio": round(ratio(builds, every), 4), "ratio_95": [round(float(low), 4), round(float(high), 4)]}
        result["runtimes"][words] = row | {f"{name}_ms": values for name, values in both.items()}
        medians = " ".join(f"{name} {values['median']:.2f} ms" for name, values in both.items())
        print(f"{words:26} {medians}  ratio {row['ratio']:.4f} {row['ratio_95']}  (goal {GOAL})")
    write(RESULTS / "against_timm.json", result, vars(arguments), load)


if __name__ == "__main__":
    main()
