"""Does measuring on this GPU stand up? Five questions that no CPU answers.

    PYTHONPATH=. python benchmarks/gpu/probe.py --seconds 180 --out probe.json [--device cuda:0]

- ``sessions``: 80 opened and closed beside one open anchor. Its logits must not change, and no live session may have
  its stream (PyTorch hands them out of a pool of 32, in turn).
- ``clocks``: the device's own clock (events) against the host's, over 1,000 replays.
- ``spread``: of the p50 of 3, 20 and 100 anchor samples: how many are enough.
- ``states``: what NVML says at 10 Hz while a model runs: clocks, power, reasons for throttling.
- ``recovery``: one visit in a measuring process performs an illegal access; of the others none may be lost.

Each answer is in the file as soon as it is there. On a CPU the questions about streams and NVML are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pynvml
import torch

import vitas_hw as vh
from vitas_hw.core import Target
from vitas_hw.profiling import Journal, Worker, open_backend
from vitas_hw.profiling.backend import Session
from vitas_hw.profiling.backends.common import random_images
from vitas_hw.profiling.measure import measure, measurements
from vitas_hw.profiling.timing import Timing, anchor_subnet

FAULT = "VITAS_PROBE_FAULT"  # names a file; the visit that finds it removes it and ruins its process
WORKER = (sys.executable, str(Path(__file__)), "--as-worker")
AT = 3  # of the visits of the recovery, the one that is ruined


def sessions(target: Target, device: str, count: int) -> dict[str, Any]:
    """Open and close beside the anchor, which is run after each."""
    backend, space = open_backend(target, device), vh.load_space("vitas-digits")
    made: list[int] = []
    plain = torch.cuda.Stream

    def stream(*words: Any, **named: Any) -> Any:
        new = plain(*words, **named)
        made.append(int(new.cuda_stream))
        return new

    torch.cuda.Stream = stream  # type: ignore[assignment,misc]
    try:
        subnet = anchor_subnet(target.image_size)
        images, shared, changed = random_images(subnet, target.batch_size)[0], 0, 0
        with closing(backend.open(subnet)) as anchor:
            first, own = anchor.logits(images), made[-1:]
            for number in range(count):
                with closing(backend.open(space.sample(number))) as session:
                    session.samples_ms(3)
                    shared += bool(own) and made[-1:] == own
                changed += not np.array_equal(anchor.logits(images), first)
    finally:
        torch.cuda.Stream = plain  # type: ignore[misc]
    return {
        "opened": count,
        "streams_of_the_anchor_given_out": shared,
        "logits_changed": changed,
        "streams": len(set(made)),
    }


def clocks(anchor: Session, count: int) -> dict[str, Any]:
    """Mean milliseconds of a replay: by the device, and by the host around all of them."""
    anchor.samples_ms(20)
    start = time.perf_counter()
    samples = anchor.samples_ms(count)
    host = (time.perf_counter() - start) * 1e3 / count
    return {"replays": count, "device_ms": statistics.mean(samples), "host_ms": host}


def spread(anchor: Session, times: int) -> dict[str, Any]:
    """Standard deviation of the p50 over its mean, for each number of samples."""
    found = {}
    for count in (3, 20, 100):
        medians = [statistics.median(anchor.samples_ms(count)) for _ in range(times)]
        found[str(count)] = statistics.stdev(medians) / statistics.mean(medians)
    return found


def states(anchor: Session, seconds: float) -> dict[str, Any]:
    """NVML's readings while the anchor runs."""
    rows: list[dict[str, float]] = []
    over = threading.Event()
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")

    def read() -> None:
        while not over.wait(0.1):
            rows.append(
                {
                    "sm_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
                    "memory_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
                    "power_w": pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
                    "reasons": pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
                }
            )

    reader = threading.Thread(target=read)
    reader.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        anchor.samples_ms(200)
    over.set()
    reader.join()
    pynvml.nvmlShutdown()
    seen = sorted({int(row["reasons"]) for row in rows})
    return {
        "readings": len(rows),
        "reasons": [hex(one) for one in seen],
        **{key: [min(row[key] for row in rows), max(row[key] for row in rows)] for key in ("sm_mhz", "power_w")},
    }


def recovery(target: Target, device: str, count: int) -> dict[str, Any]:
    """Rows that are lost to one illegal access, at once and after resuming."""
    space = vh.load_space("vitas-digits")
    subnets = list(dict.fromkeys(space.sample(seed) for seed in range(count)))
    with tempfile.TemporaryDirectory() as folder:
        fault, path = Path(folder) / "fault", Path(folder) / "journal.jsonl"
        fault.touch()
        os.environ[FAULT] = str(fault)
        found = {}
        for name in ("lost", "lost_after_resuming"):
            journal = Journal.open(path, {})
            with Worker(target, device, Timing(), program=WORKER) as worker:
                measure(worker, subnets, rounds=1, seed=0, journal=journal)
            found[name] = [row.failed for row in measurements(journal, subnets, "first", 1) if row.failed]
        return {"visits": len(subnets), "fault_happened": not fault.exists(), **found}


def ruin() -> None:
    """What an index out of bounds in a kernel does: every later call of this process fails."""
    if torch.cuda.is_available():
        torch.zeros(8, device="cuda")[torch.full((8,), 1 << 40, device="cuda")].sum().item()
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def as_worker() -> None:
    """A measuring process whose visits find the fault."""
    from vitas_hw.profiling import worker_main
    from vitas_hw.profiling.backends.torch_backend import TorchBackend

    plain, visits = TorchBackend.open, 0

    def opened(self: TorchBackend, *words: Any, **named: Any) -> Session:
        nonlocal visits
        visits += 1
        fault = Path(os.environ[FAULT])
        if visits > AT and fault.exists():
            fault.unlink()
            ruin()
        return plain(self, *words, **named)

    TorchBackend.open = opened  # type: ignore[method-assign]
    worker_main.main()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_worker:
        as_worker()
        return
    gpu = given.device != "cpu"
    size = vh.load_space("vitas-digits").image_size
    target = Target("probe", "torch", "fp16" if gpu else "fp32", 1, None if gpu else 1, size)
    until, found = time.monotonic() + given.seconds, dict[str, Any]()

    def answer(name: str, ask: Callable[[], dict[str, Any]]) -> None:
        if time.monotonic() > until:
            found[name] = {"no_time": True}
        else:
            try:
                found[name] = ask()
            except Exception:  # an answer too
                found[name] = {"raised": traceback.format_exc()}
        print(name, json.dumps(found[name]), flush=True)
        if given.out is not None:
            given.out.write_text(json.dumps(found, indent=1) + "\n")

    answer("recovery", lambda: recovery(target, given.device, 24 if gpu else 6))
    with closing(open_backend(target, given.device).open(anchor_subnet(size))) as anchor:
        answer("clocks", lambda: clocks(anchor, 1000 if gpu else 50))
        answer("spread", lambda: spread(anchor, 30 if gpu else 3))
        if gpu:
            answer("states", lambda: states(anchor, 5))
    answer("sessions", lambda: sessions(target, given.device, 80 if gpu else 3))  # last: it may ruin this process


if __name__ == "__main__":
    main()
