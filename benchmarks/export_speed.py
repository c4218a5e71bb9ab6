"""From a subnet to a session that is ready to run: our graph writer against torch's two ONNX exporters.

All three end in the same ONNX Runtime session; ours draws its weights from the digest, torch's have a timm model built
with fresh ones. Alternating, one thread, the median over the subnets. The second column is subnets a minute to a
finished row of a profile: three visits each, timing included, with the same time to a session in the place of ours.

    python benchmarks/export_speed.py [--num-subnets 12]
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from io import BytesIO

import numpy as np
import onnxruntime as ort
import torch
from bench_tools import RESULTS, spread, write

import vitas_hw as vh
from vitas_hw.core import Subnet
from vitas_hw.profiling import TargetAsked, choose_subnets, find_place, open_backend
from vitas_hw.profiling.protocol import TIMING
from vitas_hw.profiling.timing import anchor_subnet, time_visit

ROUNDS = 3


def session_of(model: bytes) -> object:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def torch_export(subnet: Subnet, dynamo: bool) -> object:
    """Build the timm model, export it, open the session."""
    model = vh.build_model(subnet).eval()
    image = torch.zeros(1, subnet.in_chans, *subnet.image_size)
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(model, (image,), file, dynamo=True, verbose=False)
        else:
            torch.onnx.export(model, (image,), file, dynamo=False)
    return session_of(file.getvalue())


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--num-subnets", type=int, default=12)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    space = vh.load_space(arguments.space)
    subnets = choose_subnets(space, arguments.num_subnets, seed=2)
    place = find_place(TargetAsked(backend="onnxruntime"), space.image_size)
    backend = open_backend(place.target, place.device)
    ways: dict[str, Callable[[Subnet], object]] = {
        "ours": backend.open,
        "torch, legacy": lambda subnet: torch_export(subnet, dynamo=False),
        "torch, default": lambda subnet: torch_export(subnet, dynamo=True),
    }
    for way in ways.values():
        way(subnets[-1])  # imports and first calls
    times: dict[str, list[float]] = {name: [] for name in ways}
    timing_s = []
    anchor = backend.open(anchor_subnet(space.image_size))
    for subnet in subnets:
        for name, way in ways.items():
            times[name].append(seconds(lambda way=way, subnet=subnet: way(subnet)))
        session = backend.open(subnet)
        timing_s.append(seconds(lambda session=session: time_visit(session, anchor, TIMING)))
        print({name: round(found[-1], 3) for name, found in times.items()}, flush=True)
    own = np.asarray(times["ours"])
    result: dict[str, object] = {"target": place.target.slug, "seconds": {n: spread(t) for n, t in times.items()}}
    result["times_ours"] = {
        name: spread((np.asarray(found) / own).tolist()) for name, found in times.items() if name != "ours"
    }
    result["rows_a_minute"] = {
        name: round(60 / float(np.mean(ROUNDS * (np.asarray(found) + np.asarray(timing_s)))), 2)
        for name, found in times.items()
    }
    result["goal"] = {"torch, legacy": 3, "torch, default": 20}
    for name, found in times.items():
        print(
            f"{name:16} {np.median(found):7.3f} s  {np.median(np.asarray(found) / own):6.1f} times ours"
            f"  {result['rows_a_minute'][name]:6.1f} rows a minute"  # type: ignore[index]
        )
    write(RESULTS / "export_speed.json", result, vars(arguments), load)


if __name__ == "__main__":
    main()
