"""Ours: the road of ``vitas-hw shrink`` by the library's own pieces, so that each step costs what it may.

The command itself fine-tunes after its search and then trains the choice anew: on Fashion-MNIST that alone is more than
the passes that every arm has. Here the search is followed by ``retrain``'s training at once. Nothing of the test part
is opened, which the command shows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shrink_meter
import shrink_original
import shrink_training
import torch
from shrink_setup import CLASSES, LEVELS, ORIGINAL, RETRAIN_EPOCHS, passes, retrain_recipe, supernet_recipe
from shrink_training import Folder, fit, images, on_search

import vitas_hw as vh
from vitas_hw.core import Budget, append_line, file_sha256
from vitas_hw.predictors import Predictor
from vitas_hw.profiling import load_profile
from vitas_hw.searching import Costs
from vitas_hw.searching.depth_shares import depth_shares
from vitas_hw.supernet import Original, extract, load_supernet
from vitas_hw.supernet.importance import Importance
from vitas_hw.supernet.pretrained import fill_from_pretrained, plain_model, score
from vitas_hw.supernet.weights_file import save_supernet
from vitas_hw.training import SupernetObjective
from vitas_hw.workflows.few_images import FEW, few_images
from vitas_hw.workflows.fit import fit_predictor
from vitas_hw.workflows.propose_space_around import space_around


@dataclass(frozen=True)
class Variant:
    """Ours, or ours with one factor changed.

    Args:
        importance: what channels and heads are sorted by before they are shared: ``taylor``, ``magnitude`` or ``none``.
        by_order: whether blocks are dropped by importance; otherwise the last ones first.
        teacher: whether the original teaches.
    """

    importance: str = "taylor"
    by_order: bool = True
    teacher: bool = True


VARIANTS = {
    "ours": Variant(),
    "ours, by magnitude": Variant(importance="magnitude"),
    "ours, unsorted": Variant(importance="none"),
    "ours, last blocks dropped": Variant(by_order=False),
    "ours, no teacher": Variant(teacher=False),
}


@dataclass(frozen=True)
class Road:
    """One supernet and what comes of it."""

    arm: str
    level: str
    seed: int
    folder: Folder

    @property
    def key(self) -> dict[str, Any]:
        return {"arm": self.arm, "level": self.level, "seed": self.seed}

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.level}-{self.seed}".replace(", ", "_").replace(" ", "_")

    @property
    def weights(self) -> Path:
        """Of the supernet: on the machine that trained it."""
        return self.folder.kept / f"{self.name}.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.folder.kept / f"{self.name}.pt"

    def told(self, kind: str) -> dict[str, Any] | None:
        """The row of a part, of these very weights."""
        if not self.weights.exists():
            return None
        of, parts = file_sha256(self.weights), shrink_training.read(self.folder.parts)
        mine = self.key | {"kind": kind, "supernet_sha256": of}
        return next((row for row in parts if mine.items() <= row.items()), None)

    def add(self, kind: str, about: dict[str, Any]) -> None:
        key = self.key | {"kind": kind, "supernet_sha256": file_sha256(self.weights)}
        append_line(self.folder.parts, key | about | {"machine": shrink_training.machine()})


def space_of(original: Original, by_order: bool = False) -> vh.SearchSpace:
    """The space around the original; with the order of its blocks, those that matter most first."""
    space = space_around(original.subnet, "around-original", CLASSES)
    if not by_order:
        return space
    return replace(space, block_order=score(original, space, few_images(images())).block_order)


def scores(original: Original, space: vh.SearchSpace, how: str) -> Importance:
    """What channels are sorted by; ``none`` finds all equal, which sorts nothing."""
    found = score(original, space, few_images(images()) if how == "taylor" else ())
    if how == "none":
        return replace(found, channels={group: torch.zeros_like(each) for group, each in found.channels.items()})
    return found


def predictor(folder: Folder, space: vh.SearchSpace) -> tuple[Predictor, float]:
    """Of the space's latencies, and the original's p50 of the profile in milliseconds.

    A block's place says nothing of its time, so one profile serves every order of blocks.
    """
    if not folder.profile.exists():
        raise SystemExit("The profile is not there yet: python benchmarks/shrink/run_shrink.py shapes")
    found = load_profile(folder.profile)
    whole = next(one.latency_ms for one in found.measurements if one.subnet == ORIGINAL)
    return replace(fit_predictor(found, path=folder.profile), space=space), whole


def setup(road: Road) -> tuple[Variant, Original, vh.SearchSpace, Any, Budget, Any]:
    """What every step of a road begins with: variant, original, space, predictor, budget, shares of the depths."""
    variant, original = VARIANTS[road.arm], shrink_original.load(road.folder)
    space = space_of(original, variant.by_order)
    found, whole_ms = predictor(road.folder, space)
    budget = Budget.parse(f"{whole_ms / LEVELS[road.level]}ms", None, None)
    return variant, original, space, found, budget, depth_shares(Costs(space, found), budget, seed=road.seed).shares


def train_supernet(road: Road) -> bool:
    """False if a signal asked to stop; the same call goes on."""
    variant, original, space, _, _, depths = setup(road)
    supernet, recipe = vh.build_supernet(space, seed=road.seed), supernet_recipe()
    fill_from_pretrained(supernet, original, scores=scores(original, space, variant.importance))
    before = _largest(supernet)
    teacher = plain_model(original, space)[0].requires_grad_(False) if variant.teacher else None
    told = fit(
        supernet,
        recipe,
        road.seed,
        road.checkpoint,
        road.key | {"depths": list(depths)},
        objective=lambda: SupernetObjective(supernet, recipe, depths=depths, teacher=teacher),
    )
    if told is None:
        return False
    save_supernet(supernet, road.weights)
    spent = passes(len(images().train), recipe.epochs, teacher=variant.teacher, scored=_scored(variant, original))
    road.add("supernet", told | {"passes": spent, "largest_top1": [before, _largest(supernet)]})
    shrink_training.done(road.checkpoint)
    return True


def search(road: Road) -> None:
    """By latency, as the library does, finalists measured beside the original. Needs a quiet machine."""
    _, _, space, predictor, budget, depths = setup(road)
    supernet, cpu, wall = load_supernet(road.weights).eval(), time.process_time(), time.perf_counter()
    assert budget.latency_ms is not None
    assert budget.latency_ms.high is not None
    whole_ms = budget.latency_ms.high * LEVELS[road.level]
    found = vh.search(
        space,
        supernet=supernet,
        data=images(),
        latency=f"{budget.latency_ms.high}ms",
        predictor=predictor,
        measure=lambda subnets: [share * whole_ms for share in shrink_meter.shares(subnets)],
        depths=depths,
        seed=road.seed,
    ).result
    choice = found.choice
    shape = {"digest": choice.subnet.digest, "subnet": choice.subnet.to_dict(), "layers": choice.layers}
    shape |= {"share": round(found.measured_ms[choice.subnet.digest] / whole_ms, 4)}
    cost = {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - wall, 1)}
    seen = {"candidates": len(found.candidates), "seen": len(found.candidates) * len(images().search)}
    road.add("search", shape | {"inherited": on_search(_inherited(road, shape))} | seen | cost)


def retrain(road: Road) -> tuple[Any, vh.Subnet, dict[str, Any]] | None:
    """The choice, trained on from what it inherited and never kept below it, its shape, and its row's fields.

    None if a signal asked to stop.
    """
    trained, searched = road.told("supernet"), road.told("search")
    assert trained is not None
    assert searched is not None
    variant, original, space, *_ = setup(road)
    model, recipe = _inherited(road, searched).train(), retrain_recipe(RETRAIN_EPOCHS)
    inherited = {name: weight.clone() for name, weight in model.state_dict().items()}
    teacher = plain_model(original, space)[0].requires_grad_(False) if variant.teacher else None
    about = road.key | {"digest": searched["digest"]}
    told = fit(model, recipe, road.seed, road.checkpoint.with_suffix(".choice.pt"), about, teacher=teacher)
    if told is None:
        return None
    if on_search(model)["top1"] < searched["inherited"]["top1"]:
        model.load_state_dict(inherited)
    spent = trained["passes"] + passes(len(images().train), recipe.epochs, teacher=variant.teacher)
    steps = {"supernet": trained, "search": searched, "retrain": told}
    cost = {key: round(sum(step[key] for step in steps.values()), 1) for key in ("cpu_s", "wall_s")}
    parts = {f"{name}_cpu_s": step["cpu_s"] for name, step in steps.items()}
    row = told | cost | parts | {"passes": spent, "seen": searched["seen"], "inherited": searched["inherited"]}
    row |= {"largest_top1": trained["largest_top1"], "layers": searched["layers"]}
    return model, vh.Subnet.from_dict(searched["subnet"]), row


def _inherited(road: Road, searched: dict[str, Any]) -> Any:
    supernet = load_supernet(road.weights)
    return extract(supernet, vh.Subnet.from_dict(searched["subnet"]), layers=searched["layers"]).eval()


def _largest(supernet: Any) -> float:
    found = on_search(extract(supernet.eval(), supernet.space.largest).eval())["top1"]
    supernet.train()
    return found


def _scored(variant: Variant, original: Original) -> int:
    """Passes of scoring: channels a pass of each image, blocks a forward of all that come after each."""
    of_blocks = FEW * original.subnet.depth / 3
    return round((FEW if variant.importance == "taylor" else 0) + (of_blocks if variant.by_order else 0))
