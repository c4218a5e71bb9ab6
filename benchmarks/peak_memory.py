"""Peak of the bytes that torch's CPU allocator holds during a call, from the profiler's memory events.

    python benchmarks/peak_memory.py    # checks the method on tensors of known size

Seen is what goes through torch's allocator; scratch memory that oneDNN or MKL take for themselves is not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True)
class Peak:
    """Bytes above what was allocated before the call.

    Args:
        raw: at the peak.
        gradients: that exist after the call.
        above: at the peak of everything but those gradients, which counts them as resident all the time. The peak
            minus ``gradients`` would not do: at the peak, early in the backward pass, few of them exist yet.
    """

    raw: int
    gradients: int
    above: int


def peak(call: Callable[[], object], parameters: list[nn.Parameter] | list[Tensor]) -> Peak:
    """Peak during ``call``, which leaves gradients on some of the parameters; they have none before."""
    assert all(parameter.grad is None for parameter in parameters)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    changes = memory_events(profiler)
    kept = {gradient.untyped_storage().data_ptr(): gradient.untyped_storage().nbytes() for gradient in gradients}
    last = {address: index for index, (address, size) in enumerate(changes) if address in kept and size > 0}
    missing = [address for address in kept if address not in last or changes[last[address]][1] < kept[address]]
    assert not missing, f"{len(missing)} gradients were not seen being allocated"
    of_gradients = set(last.values())
    held = above = most = most_above = 0
    for index, (_, size) in enumerate(changes):
        held += size
        above += 0 if index in of_gradients else size
        most, most_above = max(most, held), max(most_above, above)
    return Peak(most, sum(kept.values()), most_above)


def memory_events(profiler: profile) -> list[tuple[int, int]]:
    """Address and size of each allocation (positive) and of each release of one (negative), in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    found = [event for event in events if event.get("name") == "[memory]" and event["args"]["Device Type"] == 0]
    found.sort(key=lambda event: event["ts"])
    changes = [(int(event["args"]["Addr"]), int(event["args"]["Bytes"])) for event in found]
    totals = [int(event["args"]["Total Allocated"]) for event in found]
    # the allocator's own count must agree with the sum of what was seen, or an event was lost or out of order
    steps = [after - before for before, after in pairwise(totals)]
    assert steps == [size for _, size in changes[1:]], "the profiler's memory events do not add up"
    return changes


def check() -> dict[str, Peak]:
    """Peaks of calls whose peaks are known; raises AssertionError if they are found to be others."""
    mebi = 2**20

    def two_at_once() -> None:
        first = torch.empty(3 * mebi, dtype=torch.uint8)
        second = torch.empty(5 * mebi, dtype=torch.uint8)
        del first, second
        torch.empty(6 * mebi, dtype=torch.uint8)

    weight = torch.ones(1024, 1024, requires_grad=True)  # 4 MiB

    def with_gradient() -> None:
        weight[:512].sum().backward()  # the slice's gradient is expanded, its whole-size copy is the gradient

    def activation() -> None:
        (weight * 2).exp().sum().backward()  # kept: exp's output; at the peak also its input, or two gradients

    plain = peak(two_at_once, [])
    assert (plain.raw, plain.gradients, plain.above) == (8 * mebi, 0, 8 * mebi), plain
    sliced = peak(with_gradient, [weight])
    assert sliced.gradients == 4 * mebi, sliced
    assert sliced.above < 4096, sliced
    weight.grad = None
    kept = peak(activation, [weight])
    assert kept.gradients == 4 * mebi, kept
    assert 8 * mebi <= kept.above <= kept.raw <= kept.above + kept.gradients, kept
    return {"two tensors at once": plain, "gradient of a slice": sliced, "an activation": kept}


if __name__ == "__main__":
    for name, found in check().items():
        print(name, asdict(found))
