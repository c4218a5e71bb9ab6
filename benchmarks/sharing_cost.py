"""What sharing weights costs: step time, evaluation time and memory of a supernet's subnet over the same model alone.

    python benchmarks/sharing_cost.py [--subnets 30] [--output benchmarks/results/sharing_cost.json]

Random subnets of ``vitas-deit-tiny``, 8 images of 224 x 224, two threads. A step is forward and backward; gradients are
set to None outside the timed part. In each round every scheme and the plain timm model run once, in rotating order; a
subnet's ratio is that of the medians over the rounds. A bilateral supernet runs both sides of a subnet; it is compared
with the plain model of one. Run it on a quiet machine; the goals stand beside the numbers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_tools import RESULTS, identity_codes, spread, write
from peak_memory import check, peak
from sharing_where import where
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.core import Subnet
from vitas_hw.core.operators import operators
from vitas_hw.supernet import Supernet

SCHEMES = ("ordinal", "cyclic", "bilateral")
PLAIN = "plain"
GOALS = {
    "step": {"ordinal": 1.03, "cyclic": 1.03, "bilateral": 2.06},
    "evaluation": {"ordinal": 1.02, "cyclic": 1.02, "bilateral": 2.04},
    "memory": {"ordinal": 1.05, "cyclic": 1.05, "bilateral": None},
}
Run = Callable[[], Tensor]
Seconds = dict[str, list[float]]


class Contest:
    """One subnet on every supernet, and alone."""

    def __init__(self, supernets: dict[str, Supernet], subnet: Subnet, images: Tensor, labels: Tensor) -> None:
        self.labels = labels
        self.models: dict[str, nn.Module] = {PLAIN: vh.extract(supernets["ordinal"], subnet), **supernets}
        self.runs: dict[str, Run] = {PLAIN: lambda: self.models[PLAIN](images)}
        for name, supernet in supernets.items():
            self.runs[name] = lambda supernet=supernet: supernet(images, subnet)
        expected = vh.extract(supernets["cyclic"], subnet).eval()(images)
        torch.testing.assert_close(self.runs["cyclic"](), expected, rtol=1e-3, atol=1e-3)

    def step(self, name: str) -> None:
        F.cross_entropy(self.runs[name](), self.labels).backward()

    def clear(self, name: str) -> None:
        self.models[name].zero_grad(set_to_none=True)

    def steps(self, rounds: int) -> Seconds:
        def timed(name: str) -> float:
            start = time.perf_counter()
            self.step(name)
            seconds = time.perf_counter() - start
            self.clear(name)
            return seconds

        return alternate([*self.runs], timed, rounds)

    def evaluations(self, rounds: int) -> Seconds:
        def timed(name: str) -> float:
            with torch.inference_mode():
                start = time.perf_counter()
                self.runs[name]()
                return time.perf_counter() - start

        return alternate([*self.runs], timed, rounds)

    def memory(self) -> dict[str, dict[str, int]]:
        found = {}
        for name in self.runs:
            seen = peak(lambda name=name: self.step(name), list(self.models[name].parameters()))  # type: ignore[misc]
            found[name] = {"raw": seen.raw, "gradients": seen.gradients, "above": seen.above}
            self.clear(name)
        return found


def alternate(names: list[str], timed: Callable[[str], float], rounds: int) -> Seconds:
    """Seconds of each name in each round, after a round that does not count; each round starts with the next name."""
    for name in names:
        timed(name)
    found: Seconds = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(timed(name))
    return found


def ratios(seconds: Seconds) -> dict[str, dict[str, float]]:
    """Each scheme over the plain model, by medians and by minima."""
    ways = {"median": statistics.median, "min": min}
    return {name: {way: pick(seconds[name]) / pick(seconds[PLAIN]) for way, pick in ways.items()} for name in SCHEMES}


def memory_ratios(memory: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    plain = memory[PLAIN]
    return {
        name: {
            "above": found["above"] / plain["above"],
            "raw_less_gradients": (found["raw"] - found["gradients"]) / (plain["raw"] - plain["gradients"]),
            "raw": found["raw"] / plain["raw"],
        }
        for name, found in memory.items()
        if name != PLAIN
    }


def one_subnet(contest: Contest, subnet: Subnet, rounds: int) -> dict[str, Any]:
    steps, evaluations, memory = contest.steps(rounds), contest.evaluations(rounds), contest.memory()
    return {
        "subnet": subnet.digest,
        "patch_size": subnet.patch_size,
        "embed_dim": subnet.embed_dim,
        "depth": subnet.depth,
        "step": ratios(steps),
        "evaluation": ratios(evaluations),
        "memory": memory_ratios(memory),
        "plain_step_ms": 1e3 * statistics.median(steps[PLAIN]),
        "plain_evaluation_ms": 1e3 * statistics.median(evaluations[PLAIN]),
        "bytes": memory,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each quantity and scheme the spread of its ratios over the subnets, with the goal for the median."""
    found: dict[str, Any] = {}
    for quantity, goals in GOALS.items():
        for scheme, goal in goals.items():
            ways = {way: spread([row[quantity][scheme][way] for row in rows]) for way in rows[0][quantity][scheme]}
            found.setdefault(quantity, {})[scheme] = {"goal": goal} | ways
    return found


def show(found: dict[str, Any]) -> None:
    print(f"{'':32}{'min':>8}{'q1':>8}{'median':>8}{'q3':>8}{'max':>8}   median's 95%      goal")
    for quantity, schemes in found.items():
        for scheme, ways in schemes.items():
            for way in [key for key in ways if key != "goal"]:
                one = ways[way]
                numbers = "".join(f"{one[key]:8.3f}" for key in ("min", "q1", "median", "q3", "max"))
                low, high = one["median_95"]
                first = way == next(key for key in ways if key != "goal")
                goal = f"<= {ways['goal']}" if first and ways["goal"] else ""
                print(f"{f'{quantity}, {scheme}, {way}':32}{numbers}   {low:.3f} to {high:.3f}   {goal}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subnets", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=9, help="repeats of each of step and evaluation")
    parser.add_argument("--where-rounds", type=int, default=30, help="repeats where the rest is looked for")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS / "sharing_cost.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    torch.set_num_threads(given.threads)
    check()
    space = vh.load_space("vitas-deit-tiny")
    supernets = {name: vh.build_supernet(space, name, seed=0) for name in SCHEMES}
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(given.batch, space.in_chans, *space.image_size, generator=generator)
    labels = torch.randint(space.num_classes, (given.batch,), generator=generator)
    codes = identity_codes(space, given.subnets, np.random.default_rng(2021), 0.5)
    macs = operators(space.columns(codes)).macs.tolist()
    subnets, rows = [space.decode(code) for code in codes], []
    for subnet, cost in zip(subnets, macs, strict=True):
        row = one_subnet(Contest(supernets, subnet, images, labels), subnet, given.rounds)
        rows.append(row | {"macs": cost})
        step = {name: round(row["step"][name]["median"], 3) for name in SCHEMES}
        print(f"{subnet.digest} {cost / 1e9:.2f} GMACs, plain {row['plain_step_ms']:.0f} ms, step {step}", flush=True)
    found = summary(rows)
    show(found)
    lost = {}
    for scheme in ("ordinal", "cyclic"):
        middle = np.argsort([row["step"][scheme]["median"] for row in rows])[len(rows) // 2]
        lost[scheme] = where(supernets[scheme], subnets[middle], images, labels, given.where_rounds)
    settings = {key: value for key, value in vars(given).items() if key != "output"}
    write(given.output, {"ratios": found, "where_the_rest_is_lost": lost, "subnets": rows}, settings, load)


if __name__ == "__main__":
    main()
