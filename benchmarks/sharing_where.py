"""Where a supernet's step loses time against the plain model: one thing swapped at a time, and operator by operator.

    python benchmarks/sharing_cost.py    # runs this on the subnet with the median ratio, and writes what it finds

From the supernet to the plain model in four steps, each timed:

1. slices: the slices of the weights are leaves of their own, still views into the large weights. What falls away is the
   gradient of the slicing: whole-size zeros, the copy into them, and the joining of slices where a ring closes.
2. contiguous: these leaves are contiguous, as a plain model's weights are.
3. joined: q, k and v are one multiplication, as in timm.
4. plain: timm's model. What falls away is the rest: the forward pass's own code.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import vitas_hw as vh
from vitas_hw.core import Block, Subnet
from vitas_hw.supernet import Supernet, elastic, gradients
from vitas_hw.supernet.sharing import Channels, take

STAGES = ("supernet", "slices", "contiguous", "joined", "plain")
LOSSES = {
    "whole-size gradients of sliced weights": ("supernet", "slices"),
    "weights that are not contiguous": ("slices", "contiguous"),
    "three multiplications for q, k, v instead of one": ("contiguous", "joined"),
    "the rest of the forward pass's code": ("joined", "plain"),
}
PROFILED = 7


class Leaves:
    """Stands in for ``take``: the same slices, but as leaves that are made once."""

    def __init__(self, *, contiguous: bool) -> None:
        self.contiguous = contiguous
        self.kept: dict[Any, Tensor] = {}

    def __call__(self, weight: Tensor, rows: Channels | None = None, columns: Channels | None = None) -> Tensor:
        return self.leaf((id(weight), str(rows), str(columns)), lambda: take(weight, rows, columns))

    def leaf(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        if key not in self.kept:
            found = make().detach()
            self.kept[key] = found.clone(memory_format=torch.contiguous_format) if self.contiguous else found
            self.kept[key].requires_grad_()
        return self.kept[key]

    def clear(self) -> None:
        for leaf in self.kept.values():
            leaf.grad = None

    @contextmanager
    def used(self, *, joined: bool = False) -> Iterator[None]:
        with ExitStack() as stack:
            for module in (elastic, gradients):  # whichever of them reads on this device
                stack.enter_context(patch.object(module, "take", self))
            if joined:
                stack.enter_context(patch.object(elastic.ElasticAttention, "forward", self._joined()))
            yield

    def _joined(self) -> Callable[..., Tensor]:
        def forward(attention: elastic.ElasticAttention, x: Tensor, use: elastic.Use, block: Block) -> Tensor:
            batch, tokens, _ = x.shape
            weights = {}
            for name in ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias"):
                key = (id(attention), name)
                weights[name] = self.kept.get(key)
                if weights[name] is None:
                    part, _, kind = name.partition(".")
                    names = [f"attn.{p}.{kind}" for p in (part if part == "qkv" else [part])]
                    whole = torch.cat([take(*use._places[one]) for one in names])
                    weights[name] = self.leaf(key, lambda whole=whole: whole)  # type: ignore[misc]
            qkv = F.linear(x, weights["qkv.weight"], weights["qkv.bias"])
            heads = qkv.reshape(batch, tokens, 3, block.num_heads, block.head_dim).permute(2, 0, 3, 1, 4)
            mixed = F.scaled_dot_product_attention(*heads.unbind(0)).transpose(1, 2)
            mixed = mixed.reshape(batch, tokens, block.attn_dim)
            return F.linear(mixed, weights["proj.weight"], weights["proj.bias"])

        return forward


def where(whole: Supernet, subnet: Subnet, images: Tensor, labels: Tensor, rounds: int) -> dict[str, Any]:
    """Milliseconds that each thing costs a step of the subnet, its share of the plain step, and operators."""
    plain = vh.extract(whole, subnet)
    leaves = {name: Leaves(contiguous=name != "slices") for name in STAGES[1:-1]}

    def step(stage: str) -> float:
        with leaves[stage].used(joined=stage == "joined") if stage in leaves else ExitStack():
            start = time.perf_counter()
            logits = plain(images) if stage == "plain" else whole(images, subnet)
            F.cross_entropy(logits, labels).backward()
            seconds = time.perf_counter() - start
        for model in (whole, plain):
            model.zero_grad(set_to_none=True)
        for some in leaves.values():
            some.clear()
        return seconds

    def logits_of(stage: str) -> Tensor:
        with torch.no_grad(), leaves[stage].used(joined=stage == "joined"):
            return whole(images, subnet)

    expected = plain(images).detach()
    for stage in leaves:
        torch.testing.assert_close(logits_of(stage), expected, rtol=1e-3, atol=1e-3)
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for stage in STAGES:
        step(stage)
    for number in range(rounds):
        first = number % len(STAGES)
        for stage in STAGES[first:] + STAGES[:first]:
            seconds[stage].append(step(stage))
    medians = {stage: 1e3 * statistics.median(found) for stage, found in seconds.items()}
    paired = {
        name: 1e3 * statistics.median(a - b for a, b in zip(seconds[with_it], seconds[without], strict=True))
        for name, (with_it, without) in LOSSES.items()
    }
    found = {
        "subnet": subnet.digest,
        "step_ms": {stage: round(value, 3) for stage, value in medians.items()},
        "lost": {
            name: {
                "ms": round(medians[with_it] - medians[without], 3),
                "percent_of_plain": round(100 * (medians[with_it] - medians[without]) / medians["plain"], 2),
                "median_of_paired_differences_ms": round(paired[name], 3),
            }
            for name, (with_it, without) in LOSSES.items()
        },
        "self_ms_by_operator": operators({stage: lambda stage=stage: step(stage) for stage in ("supernet", "plain")}),
    }
    show(whole.sharing, found)
    return found


def operators(steps: dict[str, Callable[[], float]]) -> dict[str, dict[str, float]]:
    """The profiler's own time in each operator a step (median of some, in turn), where the two differ most."""
    seen: dict[str, dict[str, list[float]]] = {}
    for number in range(PROFILED):
        for name, step in steps.items():
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                step()
            for event in profiler.key_averages():
                row = seen.setdefault(event.key, {name: [0.0] * PROFILED for name in steps})
                row[name][number] = event.self_cpu_time_total / 1e3
    totals = {key: {name: statistics.median(row[name]) for name in steps} for key, row in seen.items()}
    for row in totals.values():
        row["difference"] = row["supernet"] - row["plain"]
    largest = sorted(totals.items(), key=lambda item: -abs(item[1]["difference"]))[:15]
    return {key: {name: round(value, 3) for name, value in row.items()} for key, row in largest}


def show(scheme: str, found: dict[str, Any]) -> None:
    print(f"\nWhere the rest is lost: {scheme}, subnet {found['subnet']}, ms a step: {found['step_ms']}")
    for name, lost in found["lost"].items():
        print(f"  {name:50} {lost['ms']:8.2f} ms {lost['percent_of_plain']:7.2f}%")
    print(f"  {'operator (self time, profiled)':50} {'supernet':>9} {'plain':>9} {'differ.':>9} ms")
    for key, row in found["self_ms_by_operator"].items():
        print(f"  {key[:50]:50} {row['supernet']:9.2f} {row['plain']:9.2f} {row['difference']:9.2f}")
