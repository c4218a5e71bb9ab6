"""Times the models of this folder with ONNX Runtime. Needs Python 3.9 or later, numpy and onnxruntime 1.18 or later.

    python run.py --threads 1 --provider CPUExecutionProvider --out results.csv

Each visit is appended at once; killed and started again, it goes on where it was. README.md says what the rows mean.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

COLUMNS = "subnet,measurement,round,sample,latency_ms"
ANCHOR = "anchor"
OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}  # fp32 means fp32
MEMORY = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}  # where inputs lie; else in the host's


class Model:
    """A loaded model and its inputs on the device, which are taken in turn."""

    def __init__(self, path: Path, inputs: Any, threads: int, provider: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=[(provider, OPTIONS.get(provider, {}))])
        if self.session.get_providers()[0] != provider:  # ONNX Runtime falls back to the CPU without a word
            raise SystemExit(f"{provider} could not be started; what runs is {self.session.get_providers()[0]}.")
        memory = MEMORY.get(provider, "cpu")
        bindings = []
        for batch in inputs:
            binding = self.session.io_binding()
            value = ort.OrtValue.ortvalue_from_numpy(batch, memory, 0)
            binding.bind_ortvalue_input(self.session.get_inputs()[0].name, value)
            binding.bind_output(self.session.get_outputs()[0].name, memory, 0)
            bindings.append(binding)
        self.bindings = itertools.cycle(bindings)

    def latency_ms(self) -> float:
        binding = next(self.bindings)
        start = time.perf_counter_ns()
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return (time.perf_counter_ns() - start) * 1e-6

    def warm_up(self, timing: dict[str, float]) -> None:
        """Until the median of three inferences is that of the three before them, or the time is over."""
        times: list[float] = []
        while len(times) < 3 or sum(times) < timing["max_warmup_s"] * 1e3:
            times.append(self.latency_ms())
            if len(times) % 3 == 0 and len(times) > 3:
                before, now = statistics.median(times[-6:-3]), statistics.median(times[-3:])
                if abs(now / before - 1) <= timing["steady"]:
                    return

    def burst(self, timing: dict[str, float]) -> list[float]:
        """Of the anchor: its first third, at least the first one, wakes it up and is not counted."""
        found: list[float] = []
        while len(found) < timing["anchor_samples"] + 1 or (
            sum(found) < timing["anchor_s"] * 1e3 and len(found) < timing["max_samples"]
        ):
            found.append(self.latency_ms())
        return found[max(len(found) // 3, 1) :]

    def samples(self, timing: dict[str, float]) -> list[float]:
        found: list[float] = []
        while len(found) < timing["min_samples"] or (
            sum(found) < timing["sample_s"] * 1e3 and len(found) < timing["max_samples"]
        ):
            found.append(self.latency_ms())
        return found


def visits_done(out: Path) -> set[tuple[str, ...]]:
    """The (subnet, measurement, round) that ``out`` holds whole; what a kill left half is cut off."""
    data = out.read_bytes() if out.exists() else b""
    whole = data[: data.rfind(b"\n") + 1].decode()
    lines = whole.splitlines()
    if lines and lines[0] != COLUMNS:
        raise SystemExit(f"{out} is not a table of this program: its first line is not {COLUMNS}.")
    visits = [(key, list(rows)) for key, rows in itertools.groupby(lines[1:], lambda row: tuple(row.split(",")[:3]))]
    if len(whole) < len(data):
        visits = visits[:-1]
    while visits and visits[-1][0][1] == ANCHOR:  # its visit did not follow
        visits.pop()
    kept = "\n".join([COLUMNS, *(row for _, rows in visits for row in rows)]) + "\n"
    if kept.encode() != data:
        part = out.with_name(out.name + ".part")
        part.write_bytes(kept.encode())
        os.replace(part, out)
    return {key for key, _ in visits}


def same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write down beside ``out`` how it is measured; stop if it was begun in another way."""
    path = out.with_name(out.name + ".settings.json")
    if out.exists() and path.exists() and json.loads(path.read_text()) != settings:
        raise SystemExit(f"{out} was begun with other settings, {path.read_text()}: give another --out.")
    path.write_text(json.dumps(settings))


def main() -> int:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--provider", default="CPUExecutionProvider", choices=ort.get_available_providers())
    parser.add_argument("--out", type=Path, default=here / "results.csv")
    args = parser.parse_args()
    bundle = json.loads((here / "bundle.json").read_text())
    settings = {"threads": args.threads, "provider": args.provider, "onnxruntime": ort.__version__}
    same_settings(args.out, {**settings, "machine": platform.machine(), "system": platform.system()})
    done = visits_done(args.out)
    inputs, anchor_inputs = np.load(here / "inputs.npy"), np.load(here / "anchor_inputs.npy")
    anchor_name = bundle["anchor"]["subnet"]
    anchor = Model(here / f"{anchor_name}.onnx", anchor_inputs, args.threads, args.provider)
    timing = bundle["timing"]
    anchor.warm_up(timing)
    gc.disable()  # it would be measured as the model's
    failed = 0
    for number, visit in enumerate(bundle["visits"]):
        key = (visit["subnet"], visit["measurement"], str(visit["round"]))
        if key in done:
            continue
        try:
            model = Model(here / f"{visit['subnet']}.onnx", inputs, args.threads, args.provider)
            anchored = anchor.burst(timing)
            model.warm_up(timing)
            parts = {(anchor_name, ANCHOR, str(number)): anchored, key: model.samples(timing)}
        except Exception as error:  # the runtime's exceptions share no base class
            failed += 1
            sys.stderr.write(f"{visit['subnet']} does not run: {error}\n")
            continue
        rows = [f"{','.join(part)},{i},{ms:.6f}\n" for part, found in parts.items() for i, ms in enumerate(found)]
        with args.out.open("ab", buffering=0) as file:
            file.write("".join(rows).encode())
        sys.stderr.write(f"\r{number + 1} of {len(bundle['visits'])} visits")
        del model
        gc.collect()
    sys.stderr.write("\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
