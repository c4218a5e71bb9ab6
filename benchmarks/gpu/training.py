"""Images a second of supernet training on a GPU, and what sharing costs there.

    PYTHONPATH=.:benchmarks python benchmarks/gpu/training.py --seconds 240 --out OUT [--device cuda:0]

Images lie on the device beforehand; a step is forward, backward and AdamW under autocast. In each round every net makes
one step, in an order that rotates, timed by the device's own clock (the host's on a CPU), so that drift hits all alike:

- ``supernet``: one random subnet a step, the training that the paper describes;
- ``largest``, ``mean``, ``smallest``: plain models, of the space's ends and of the random subnet nearest to
  the mean MACs;
- cost of sharing: the supernet's step of a subnet over the plain model's step of the same, a ratio a subnet.

The batch is the largest power of two at which the largest subnet's step fits, unless ``--batch-size`` says it. Results:
``training.json`` in ``OUT``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_tools import spread
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.core import Subnet
from vitas_hw.profiling.environment import environment
from vitas_hw.supernet import Supernet

_LARGEST_BATCH = 4096
_WARMUP = 3


class Trainer:
    """Steps of one net with an AdamW of its own."""

    def __init__(self, net: nn.Module, images: Tensor, labels: Tensor, dtype: torch.dtype) -> None:
        self.net = net.train().to(images.device)
        self.images, self.labels, self.dtype = images, labels, dtype
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-3)

    def step(self, *subnet: Subnet) -> None:
        with torch.autocast(self.images.device.type, self.dtype):
            loss = F.cross_entropy(self.net(self.images, *subnet), self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def milliseconds(work: Callable[[], None], device: torch.device) -> float:
    """One call; on CUDA between two events."""
    if device.type != "cuda":
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def batch_of(space: vh.SearchSpace, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, space.in_chans, *space.image_size, generator=generator)
    labels = torch.randint(space.num_classes, (size,), generator=generator)
    return images.to(device), labels.to(device)


def largest_batch(space: vh.SearchSpace, device: torch.device, dtype: torch.dtype) -> int:
    """By doubling, until the step of the supernet's largest subnet no longer fits."""
    size, fits = 8, 0
    net = vh.build_supernet(space, "ordinal", seed=0)
    while size <= _LARGEST_BATCH:
        try:
            trainer = Trainer(net, *batch_of(space, size, device), dtype)
            trainer.step(space.largest)
            trainer.step(space.largest)  # the second has the optimizer's state
            torch.cuda.synchronize(device)
        except torch.cuda.OutOfMemoryError:
            break
        finally:
            torch.cuda.empty_cache()
        size, fits = size * 2, size
    return fits


def nearest_to_mean(subnets: list[Subnet]) -> Subnet:
    mean = float(np.mean([subnet.macs for subnet in subnets]))
    return min(subnets, key=lambda subnet: abs(subnet.macs - mean))


def alternated(works: dict[str, Callable[[], None]], device: torch.device, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each; rounds in rotating order until the time is over, at least three."""
    for work in works.values():
        for _ in range(_WARMUP):
            work()
    names, found, until = list(works), {name: [] for name in works}, time.monotonic() + seconds
    round_ = 0
    while round_ < 3 or time.monotonic() < until:
        for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
            found[name].append(milliseconds(works[name], device))
        round_ += 1
    return found


def throughput(space: vh.SearchSpace, size: int, device: torch.device, dtype: torch.dtype, seconds: float) -> Any:
    """Images a second, and the most memory, of each kind of step."""
    batch = batch_of(space, size, device)
    drawn = [space.sample(seed) for seed in range(200)]
    subnets = iter(drawn * 1000)
    supernet = Trainer(vh.build_supernet(space, "ordinal", seed=0), *batch, dtype)
    works: dict[str, Callable[[], None]] = {"supernet": lambda: supernet.step(next(subnets))}
    peaks: dict[str, float] = {}
    plain = {"largest": space.largest, "mean": nearest_to_mean(drawn), "smallest": space.smallest}
    for name, subnet in plain.items():
        works[name] = Trainer(vh.build_model(subnet, seed=0), *batch, dtype).step
    if device.type == "cuda":
        for name, work in works.items():
            torch.cuda.reset_peak_memory_stats(device)
            work()
            peaks[name] = torch.cuda.max_memory_allocated(device) / 2**30
    found = alternated(works, device, seconds)
    return {
        name: {
            # the mean, not the median: steps of random subnets take different times, and the training pays them all
            "images_per_s": round(size * len(ms) / sum(ms) * 1e3, 1),
            "step_ms": spread(ms),
            "peak_gib_with_all_nets_loaded": round(peaks[name], 2) if peaks else None,
        }
        for name, ms in found.items()
    }


def sharing(
    space: vh.SearchSpace, size: int, device: torch.device, dtype: torch.dtype, seconds: float, count: int
) -> Any:
    """Ratio of medians, supernet over plain model, of random subnets."""
    batch = batch_of(space, size, device)
    supernet: Supernet = vh.build_supernet(space, "ordinal", seed=0)
    shared = Trainer(supernet, *batch, dtype)
    ratios = []
    for subnet in [space.sample(1000 + seed) for seed in range(count)]:
        alone = Trainer(vh.extract(supernet, subnet), *batch, dtype)
        works = {
            "shared": lambda subnet=subnet: forward_backward(shared, subnet),
            "alone": lambda alone=alone: forward_backward(alone),
        }
        found = alternated(works, device, seconds / count)
        ratios.append(statistics.median(found["shared"]) / statistics.median(found["alone"]))
    return spread(ratios) | {"subnets": count, "goal": 1.05}


def forward_backward(trainer: Trainer, *subnet: Subnet) -> None:
    """Without the optimizer, whose work is the whole supernet's in one case and the subnet's in the other."""
    with torch.autocast(trainer.images.device.type, trainer.dtype):
        loss = F.cross_entropy(trainer.net(trainer.images, *subnet), trainer.labels)
    loss.backward()
    trainer.net.zero_grad(set_to_none=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--space", default="vitas-deit-tiny")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--subnets", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    device, dtype, space = torch.device(given.device), torch.bfloat16, vh.load_space(given.space)
    size = given.batch_size or largest_batch(space, device, dtype)
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    given.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "space": space.name,
        "batch_size": size,
        "autocast": "bf16",
        "environment": environment({"seconds": given.seconds}, accelerator),
    }

    def keep() -> None:
        (given.out / "training.json").write_text(json.dumps(result, indent=1) + "\n")

    result["throughput"] = throughput(space, size, device, dtype, given.seconds / 2)
    keep()
    result["sharing"] = sharing(space, min(size, 256), device, dtype, given.seconds / 2, given.subnets)
    keep()
    print(json.dumps({key: result[key] for key in ("batch_size", "throughput", "sharing")}, indent=1))


if __name__ == "__main__":
    main()
