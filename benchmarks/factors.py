"""What each way of training a supernet gives at equal cost, one factor at a time.

    python benchmarks/factors.py digits [--only baseline sandwich] [--seeds 0 1] [--workers 1]
    python benchmarks/factors.py fashion     # the space of the study benchmarks/pays, a tenth of its supernets' epochs
    python benchmarks/factors.py report

Each supernet is trained as the library trains it but for its factor; where a step runs several subnets, there are as
many fewer epochs. The same 24 random subnets, eight at 0.9 to 1 of each of three ceilings of MACs, are scored with the
weights that they inherit, on the search part; of the study's space their order is held against that of the nets trained
alone, where those rows are there. Nothing reads a test part. Rows are appended to results/factors.jsonl; a factor and
seed that has its row is not done again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from bench_tools import RESULTS, bootstrap, read_rows, run_missing
from scipy.stats import kendalltau
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.core import Budget
from vitas_hw.core.operators import operators
from vitas_hw.data import ImageData
from vitas_hw.profiling.environment import environment
from vitas_hw.searching import Admission, Costs
from vitas_hw.supernet import Supernet
from vitas_hw.training import Recipe, SupernetObjective, Training, of_length, subnet_accuracy
from vitas_hw.training.recipe import supernet_recipe

PAYS = Path(__file__).parent / "pays"
ROWS = RESULTS / "factors.jsonl"
NETS_OF_A_CEILING = 8
CEILINGS = {"digits": ("10M", "20M", "40M"), "fashion": ("1M", "3M", "6M")}
SHORTER = {"digits": 1, "fashion": 10}
Codes = Sequence[tuple[int, ...]]


class Several(SupernetObjective):
    """Each step the largest subnet inside the ceiling, a random and the smallest one; the others learn from it.

    Args:
        rule: of the others' loss, from their logits and the largest's, (B, classes) each.
        project: take away what of the largest's gradient is against the others' (NASViT, section 3.2).
        ceiling: MACs of the largest; None is the space's own largest.
    """

    def __init__(self, supernet: Supernet, recipe: Recipe, rule: Any, project: bool, ceiling: str | None) -> None:
        super().__init__(supernet, recipe)
        self.rule, self.project = rule, project
        space = supernet.space
        self.ends = [space.encode(space.largest), space.encode(space.smallest)]
        self.inside = None
        if ceiling is not None:
            budget = Budget.parse(flops=ceiling)
            self.inside = Admission(Costs(space, None, 0.5), budget)

    def codes(self, seed: int, step: int) -> tuple[tuple[int, ...], ...]:
        space, rng = self.trained.space, np.random.default_rng([seed, 1, step])
        drawn = space.sample_codes(1, rng)[0]
        largest, smallest = self.ends
        if self.inside is not None:
            few = space.sample_codes(64, rng)
            few = few[~self.inside.outside(few)]
            macs = operators(space.columns(few)).macs if len(few) else np.zeros(0)
            largest = few[int(np.argmax(macs))] if len(few) else smallest
        return tuple(tuple(row.tolist()) for row in (largest, drawn, smallest))

    def forward(self, images: Tensor, targets: Tensor, codes: Codes) -> Tensor:
        run = partial(self._logits, images)
        first = run(codes[0])
        own = self._loss(first, targets, None)
        others = torch.stack([self.rule(run(code), first.detach()) for code in codes[1:]]).sum()
        if not self.project:
            return (own + others) / len(codes)
        weights = [weight for weight in self.trained.parameters() if weight.requires_grad]
        g, h = (torch.autograd.grad(loss, weights, allow_unused=True) for loss in (own, others))
        pairs = [(a, b) for a, b in zip(g, h, strict=True) if a is not None and b is not None]
        dot, square = sum((a * b).sum() for a, b in pairs), sum((b * b).sum() for b in h if b is not None)
        keep = torch.clamp(-torch.as_tensor(dot) / torch.as_tensor(square).clamp(min=1e-12), min=0.0)  # 0: no conflict
        total = own.detach() * 0
        for weight, a, b in zip(weights, g, h, strict=True):
            parts = [one for one in (a, None if b is None else (1 + keep) * b) if one is not None]
            if parts:  # a surrogate: its gradient is what was worked out here
                total = total + (weight * (torch.stack(parts).sum(0) / len(codes)).detach()).sum()
        return total - total.detach() + ((own + others) / len(codes)).detach()

    def _logits(self, images: Tensor, code: tuple[int, ...]) -> Tensor:
        space = self.trained.space
        found: Tensor = self.trained(images, space.decode(code), layers=space.layers(code))
        return found


class FairPatches(SupernetObjective):
    """Each step one random subnet of every patch size."""

    def codes(self, seed: int, step: int) -> tuple[tuple[int, ...], ...]:
        space = self.trained.space
        rows = space.sample_codes(len(space.patch_sizes), np.random.default_rng([seed, 1, step]))
        rows[:, 0] = np.arange(len(rows))
        return tuple(tuple(row.tolist()) for row in space.canonical(rows))

    def forward(self, images: Tensor, targets: Tensor, codes: Codes) -> Tensor:
        return torch.stack([super(FairPatches, self).forward(images, targets, [code]) for code in codes]).mean()


def soft_labels(logits: Tensor, teacher: Tensor) -> Tensor:
    return F.cross_entropy(logits, teacher.softmax(-1))


def adaptive(logits: Tensor, teacher: Tensor, least: float = -1.0, most: float = 1.0, clip: float = 5.0) -> Tensor:
    """AlphaNet's (arXiv 2102.07954, section 4.2): the larger of two alpha-divergences, importance weights clipped."""
    p, log_q = teacher.softmax(-1), logits.log_softmax(-1)
    q = log_q.exp()
    ratio = (p / q.clamp(min=1e-8)).detach()

    def divergence(alpha: float) -> tuple[Tensor, Tensor]:
        if abs(alpha) < 1e-3:
            f, df = -ratio.log(), -torch.ones_like(ratio)
        elif abs(alpha - 1) < 1e-3:
            f, df = ratio * ratio.log(), ratio
        else:
            powered = ratio**alpha
            f, df = (powered - 1) / (alpha * (alpha - 1)), powered / alpha
        return (q * f).sum(-1), -(q.detach() * df.clamp(-clip, clip) * log_q).sum(-1)  # its value, and what descends

    (low, low_loss), (high, high_loss) = divergence(least), divergence(most)
    return torch.where(low > high, low_loss, high_loss).mean()


def narrow(supernet: Supernet, positions: float | None = 0.02, linears: float | None = 0.02) -> None:
    """All weights of linears with one standard deviation, as timm and DeiT have them; None leaves the library's."""
    for name, weight in supernet.named_parameters():
        if "pos_embed" in name and positions is not None:
            nn.init.trunc_normal_(weight, std=positions)
        elif weight.ndim == 2 and "head" not in name and linears is not None:
            nn.init.trunc_normal_(weight, std=linears)


@dataclass(frozen=True)
class Factor:
    """What is changed.

    Args:
        recipe: changed fields.
        longer: times the epochs.
        objective: from supernet and recipe, instead of a random subnet a step.
        subnets: a step runs; as many times fewer epochs.
        build: arguments of ``build_supernet``.
        start: changes fresh weights.
    """

    recipe: dict[str, Any] | None = None
    longer: float = 1.0
    objective: Callable[[Supernet, Recipe, str], SupernetObjective] | None = None
    subnets: int = 1
    build: dict[str, Any] | None = None
    start: Callable[[Supernet], None] | None = None


def several(supernet: Supernet, recipe: Recipe, ceiling: str, *, rule: Any, project: bool, bounded: bool) -> Several:
    return Several(supernet, recipe, rule, project, ceiling if bounded else None)


FACTORS = {
    "baseline": Factor(),
    "twice as long": Factor(longer=2),
    "half as long": Factor(longer=0.5),
    "initial weights of 0.02": Factor(start=narrow),
    "initial positions of 0.02": Factor(start=partial(narrow, linears=None)),
    "initial positions of 0.5": Factor(start=partial(narrow, positions=0.5, linears=None)),
    "half the learning rate": Factor(recipe={"lr": 5e-4}),
    "twice the learning rate": Factor(recipe={"lr": 2e-3}),
    "average of weights, 0.999": Factor(recipe={"ema": 0.999}),
    "sandwich": Factor(objective=partial(several, rule=soft_labels, project=False, bounded=False), subnets=3),
    "sandwich inside the ceiling": Factor(
        objective=partial(several, rule=soft_labels, project=False, bounded=True), subnets=3
    ),
    "the same, adaptive divergence": Factor(
        objective=partial(several, rule=adaptive, project=False, bounded=True), subnets=3
    ),
    "the same, gradients projected": Factor(
        objective=partial(several, rule=soft_labels, project=True, bounded=True), subnets=3
    ),
    "every patch size": Factor(objective=lambda supernet, recipe, _: FairPatches(supernet, recipe), subnets=2),
    "cyclic": Factor(build={"sharing": "cyclic"}),
    "bilateral": Factor(build={"sharing": "bilateral"}, subnets=2),
    "nothing private": Factor(build={"private": ()}),
}


@dataclass(frozen=True)
class Job:
    data: str
    factor: str
    seed: int


def images_of(data: str) -> tuple[vh.SearchSpace, ImageData, Recipe]:
    if data == "digits":
        space = vh.load_space("vitas-digits")
        loaded = vh.load_data("digits", space)
        return space, loaded, supernet_recipe("digits", len(loaded.train))
    sys.path.insert(0, str(PAYS))
    import pays_nets
    import pays_search

    return pays_nets.SPACE, pays_search.library_data(), supernet_recipe("fashion-mnist", 54_000)


def nets_of(data: str, space: vh.SearchSpace) -> dict[str, Any]:
    """By ceiling, codes (8, code_length): of the study's space those that are trained alone there."""
    if data == "digits":
        return {
            name: Admission(Costs(space, None, 0.5), Budget.parse(flops=name)).draw(
                NETS_OF_A_CEILING, np.random.default_rng(0)
            )
            for name in CEILINGS[data]
        }
    import run_study

    drawn = {name: [net.subnet for net in run_study.nets("random", name)] for name in CEILINGS[data]}
    return {name: np.array([space.encode(subnet) for subnet in found]) for name, found in drawn.items()}


def run(job: Job) -> dict[str, Any]:
    torch.set_num_threads(1)
    factor = FACTORS[job.factor]
    space, data, recipe = images_of(job.data)
    epochs = max(round(recipe.epochs * factor.longer / factor.subnets / SHORTER[job.data]), 2)
    recipe = replace(of_length(recipe, epochs), **(factor.recipe or {}))
    supernet = vh.build_supernet(space, seed=job.seed, **(factor.build or {}))
    if factor.start is not None:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(job.seed)
            factor.start(supernet)
    make = factor.objective
    objective = SupernetObjective(supernet, recipe) if make is None else make(supernet, recipe, CEILINGS[job.data][-1])
    cpu = time.process_time()
    history = Training(objective, data.train, recipe, seed=job.seed, num_classes=space.num_classes).run()
    cpu = time.process_time() - cpu
    supernet.eval()
    scores = {
        ceiling: [subnet_accuracy(supernet, space.decode(code), data.search, space.layers(code)) for code in codes]
        for ceiling, codes in nets_of(job.data, space).items()
    }
    largest = subnet_accuracy(supernet, space.largest, data.search, space.layers(space.encode(space.largest)))
    return {
        "data": job.data,
        "factor": job.factor,
        "seed": job.seed,
        "epochs": epochs,
        "images": len(data.train),
        "search_images": len(data.search),
        "loss": {ceiling: [round(one.loss, 5) for one in found] for ceiling, found in scores.items()},
        "top1": {ceiling: [round(one.top1, 5) for one in found] for ceiling, found in scores.items()},
        "largest": {"loss": round(largest.loss, 5), "top1": round(largest.top1, 5)},
        "training_loss": history[-1] if history else None,
        "cpu_s": round(cpu, 1),
        "environment": environment({"threads": 1}),
    }


def truth() -> dict[str, list[float]] | None:
    """Top-1 on the search part of the study's random nets trained alone, by ceiling; None until all are there."""
    sys.path.insert(0, str(PAYS))
    import run_study

    known = run_study.on_search(run_study.read(run_study.ROWS))
    keys = {name: [(net.subnet.digest, 0) for net in run_study.nets("random", name)] for name in CEILINGS["fashion"]}
    return {
        name: [known[key] for key in found] for name, found in keys.items() if all(key in known for key in found)
    } or None


def report() -> None:
    rows, alone = read_rows(ROWS), truth()
    for data in CEILINGS:
        own = [row for row in rows if row["data"] == data]
        base = {row["seed"]: row for row in own if row["factor"] == "baseline"}
        for name in FACTORS:
            found = [row for row in own if row["factor"] == name and row["seed"] in base]
            if not found:
                continue
            cells = []
            for ceiling in CEILINGS[data]:
                gain = np.concatenate(
                    [np.subtract(row["top1"][ceiling], base[row["seed"]]["top1"][ceiling]) for row in found]
                )
                mean = np.mean([row["top1"][ceiling] for row in found])
                cells.append(
                    f"{ceiling} {mean:.2%} ({gain.mean():+.2%} {[f'{b:+.2%}' for b in bootstrap(list(gain))]})"
                )
            taus = [
                kendalltau(row["loss"][ceiling], [-one for one in alone[ceiling]]).statistic
                for row in found
                for ceiling in alone or {}
                if data == "fashion"
            ]
            tau = f" tau {np.mean(taus):+.2f}" if taus else ""
            seconds = np.mean([row["cpu_s"] for row in found])
            print(f"{data:8} {name:30} n={len(found)} {'; '.join(cells)}{tau} {seconds:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*CEILINGS, "report"])
    parser.add_argument("--only", nargs="+", choices=list(FACTORS), default=list(FACTORS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.what == "report":
        report()
        return
    jobs = [Job(given.what, name, seed) for seed in given.seeds for name in given.only]
    run_missing(jobs, run, ROWS, given.workers)


if __name__ == "__main__":
    main()
