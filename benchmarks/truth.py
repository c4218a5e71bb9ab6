"""Our OpenVINO p50 against OpenVINO's own ``benchmark_app`` on the same file, alternating.

Both in float32, one thread, one stream, inferences one after the other; the tool's median latency is the one that
it reports. Each turn starts both anew; which comes first changes from turn to turn.

    python benchmarks/truth.py [--num-subnets 10] [--turns 6]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_tools import RESULTS, bootstrap, write

import vitas_hw as vh
from vitas_hw.core import Subnet
from vitas_hw.export.onnx_graph import onnx_graph, random_weights
from vitas_hw.profiling import TargetAsked, Worker, choose_subnets, find_place
from vitas_hw.profiling.backends.common import digest_seed
from vitas_hw.profiling.noise import NoiseFloor
from vitas_hw.profiling.timing import Timing

SECONDS = 2.0


def theirs(model: Path, folder: Path) -> float:
    """``benchmark_app``'s median latency in milliseconds."""
    tool = Path(sys.executable).with_name("benchmark_app")
    words = ["-m", model, "-d", "CPU", "-api", "sync", "-hint", "none", "-nthreads", "1", "-nstreams", "1"]
    words += ["-infer_precision", "f32", "-t", str(int(SECONDS)), "-report_type", "no_counters", "-json_stats"]
    subprocess.run([tool, *words, "-report_folder", folder], check=True, capture_output=True)
    report = json.loads((folder / "benchmark_report.json").read_text())
    return float(report["execution_results"]["latency (ms)"])


def ours(worker: Worker, subnet: Subnet) -> float:
    """Our p50 of one visit, as it was: no anchor to correct by, as the tool has none."""
    return float(np.median(worker.visit(subnet).samples_ms))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--num-subnets", type=int, default=10)
    parser.add_argument("--turns", type=int, default=6)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    space = vh.load_space(arguments.space)
    subnets = choose_subnets(space, arguments.num_subnets, seed=3)
    place = find_place(TargetAsked(backend="openvino"), space.image_size)
    timing = Timing(sample_s=SECONDS, max_samples=10_000)
    rows = []
    with TemporaryDirectory() as temporary, place.worker(timing) as worker:
        model = Path(temporary) / "model.onnx"
        for subnet in subnets:
            weights = random_weights(subnet, digest_seed(subnet))
            model.write_bytes(onnx_graph(subnet, weights, batch_size=1).SerializeToString())
            pairs: list[tuple[float, float]] = []
            for turn in range(arguments.turns):
                if turn % 2:
                    first = ours(worker, subnet)
                    pairs.append((first, theirs(model, Path(temporary))))
                else:
                    second = theirs(model, Path(temporary))
                    pairs.append((ours(worker, subnet), second))
            us, them = np.median(np.asarray(pairs), axis=0)
            halves = np.asarray([own for own, _ in pairs])
            rows.append(
                {
                    "subnet": subnet.digest,
                    "ours_ms": round(float(us), 4),
                    "benchmark_app_ms": round(float(them), 4),
                    "ratio": round(float(np.median([a / b for a, b in pairs])), 4),
                    "own_halves_ms": [float(np.median(halves[::2])), float(np.median(halves[1::2]))],
                }
            )
            print(rows[-1], flush=True)
    ratios = [float(row["ratio"]) for row in rows]  # type: ignore[arg-type]
    floor = NoiseFloor.of(*zip(*[row["own_halves_ms"] for row in rows], strict=True))  # type: ignore[misc]
    assert floor is not None
    print(f"ours over benchmark_app: median {np.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    print(f"our own halves differ by {floor.mean:.1%} on average, {floor.p90:.1%} at the 90th percentile")
    result = {
        "target": place.target.slug,
        "rows": rows,
        "ratio_median": round(float(np.median(ratios)), 4),
        "ratio_median_95": bootstrap(ratios, np.median),
        "largest_difference": round(max(abs(ratio - 1) for ratio in ratios), 4),
        "noise_floor_of_the_same_run": {"mean": round(floor.mean, 4), "p90": round(floor.p90, 4)},
        "goal": "each within 5% or the noise floor",
    }
    write(RESULTS / "truth.json", result, vars(arguments), load)


if __name__ == "__main__":
    main()
