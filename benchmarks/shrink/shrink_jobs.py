"""Which trainings the study consists of, in the order of their worth, and how one is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shrink_original
import shrink_ours
import shrink_peers
import shrink_training
from shrink_original import ARM as ORIGINAL_ARM
from shrink_ours import VARIANTS, Road
from shrink_setup import CHOSEN_AT, LEVELS, LONG_EPOCHS, SEEDS, SETTINGS, Setting, lasting, passes
from shrink_shapes import of_fastnas, pruned, read_shapes
from shrink_training import Folder, fit, images, on_search, seal

import vitas_hw as vh
from vitas_hw.core import append_line
from vitas_hw.supernet.pretrained import plain_model
from vitas_hw.workflows.few_images import FEW

OURS, PRUNED, SCRATCH, LONG, FASTNAS = "ours", "torch-pruning", "scratch", "scratch, 30 epochs", "fastnas"
ABLATIONS = tuple(name for name in VARIANTS if name != OURS)
ABLATED_AT = "third"
PEERS = (PRUNED, SCRATCH)
Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Job:
    """One row to make."""

    arm: str
    level: str
    setting: str
    seed: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.arm, self.level, self.setting, self.seed

    @property
    def name(self) -> str:
        return "-".join(map(str, self.key)).replace(", ", "_").replace(" ", "_")

    def road(self, folder: Folder) -> Road:
        return Road(self.arm, self.level, self.seed, folder)


def of_ours(arm: str, level: str, seed: int) -> Job:
    return Job(arm, level, "the library's", seed)


def keys(rows: Rows) -> dict[tuple[str, str, str, int], Row]:
    return {(row["arm"], row["level"], row["setting"], row["seed"]): row for row in rows}


def chosen(arm: str, rows: Rows) -> str | None:
    """A peer's setting: the best on the search part at ``CHOSEN_AT`` with seed 0; of equals the first.

    None while one is missing.
    """
    known = keys(rows)
    asked = [(arm, CHOSEN_AT, setting.name, SEEDS[0]) for setting in SETTINGS[arm]]
    if not all(key in known for key in asked):
        return None
    return max(asked, key=lambda key: float(known[key]["search"]["top1"]))[2]


def jobs(rows: Rows) -> list[Job]:
    """All that can be done now, the most telling first."""
    return list(dict.fromkeys(_jobs(rows)))


def _jobs(rows: Rows) -> Iterator[Job]:
    first, *others = SEEDS
    settings = {arm: chosen(arm, rows) for arm in PEERS}
    for level in (CHOSEN_AT, *(level for level in LEVELS if level != CHOSEN_AT)):
        yield of_ours(OURS, level, first)
        for arm in PEERS:
            names = [one.name for one in SETTINGS[arm]] if level == CHOSEN_AT else [settings[arm]]
            yield from (Job(arm, level, name, first) for name in names if name)
    for seed in others:
        for level in LEVELS:
            yield of_ours(OURS, level, seed)
            yield from (Job(arm, level, name, seed) for arm, name in settings.items() if name)
    yield from (of_ours(arm, ABLATED_AT, first) for arm in ABLATIONS)
    yield from (Job(FASTNAS, level, SETTINGS[FASTNAS][0].name, first) for level in LEVELS)
    if settings[SCRATCH]:
        yield Job(LONG, CHOSEN_AT, settings[SCRATCH], first)


def missing(rows: Rows, folder: Folder) -> list[str]:
    """What is asked for and not there yet; what depends on missing rows is not listed beside them."""
    known = keys(rows)
    found = [] if any(row["arm"] == ORIGINAL_ARM for row in rows) else [ORIGINAL_ARM]
    found += [", ".join(map(str, job.key)) for job in jobs(rows) if job.key not in known]
    timed = json.loads(folder.latencies.read_text())["ms"] if folder.latencies.exists() else {}
    untimed = {row["digest"] for row in rows if "digest" in row} - timed.keys()
    found += [f"latencies of {len(untimed)} nets"] if untimed or not timed else []
    return found + ([] if folder.road.exists() else [folder.road.name])


def next_training(rows: Rows, folder: Folder) -> Job | None:
    """The first that has no row and waits neither for a search nor for a package that lacks."""
    known = keys(rows)
    return next((job for job in jobs(rows) if job.key not in known and not waits_for(job, folder)), None)


def waits_for(job: Job, folder: Folder) -> str:
    """What has to come before a job's next training; empty if nothing."""
    if job.arm not in VARIANTS:
        return shrink_peers.lacks_of(setting_of(job).shape)
    road = job.road(folder)
    return "a search" if road.told("supernet") and not road.told("search") else ""


def searches(rows: Rows, folder: Folder) -> list[Road]:
    """Supernets that are trained, on this machine, and not searched."""
    known = keys(rows)
    open_ = [job.road(folder) for job in jobs(rows) if job.key not in known and job.arm in VARIANTS]
    return [road for road in open_ if road.told("supernet") and not road.told("search")]


def do(job: Job, folder: Folder) -> bool:
    """Its next training; a row where that was the last one. False if a signal asked to stop."""
    if job.arm in VARIANTS:
        road = job.road(folder)
        if road.told("search") is None:
            return shrink_ours.train_supernet(road)
        made = shrink_ours.retrain(road)
        if made is None:
            return False
        _keep(job, *made, folder)
        shrink_training.done(road.checkpoint.with_suffix(".choice.pt"))
        return True
    setting = setting_of(job)
    shape = read_shapes(folder).get(job.level, {}).get(setting.shape)
    if shape is None:
        raise SystemExit(f"{setting.shape} at one {job.level} is not there yet: run_shrink.py shapes")
    if "refused" in shape:
        append_line(folder.rows, about(job) | {"refused": shape["refused"], "cpu_s": shape["cpu_s"]})
        return True
    model, subnet, scored = start(job, shape, folder)
    original = shrink_original.load(folder)
    teacher = plain_model(original, shrink_ours.space_of(original))[0].requires_grad_(False)
    checkpoint = folder.kept / f"{job.name}.pt"
    before = on_search(model.eval())
    told = fit(model.train(), setting.recipe, job.seed, checkpoint, about(job), teacher=teacher)
    if told is None:
        return False
    spent = passes(len(images().train), setting.recipe.epochs, scored=scored)
    _keep(job, model, subnet, told | {"passes": spent, "before": before}, folder)
    shrink_training.done(checkpoint)
    return True


def setting_of(job: Job) -> Setting:
    arm = SCRATCH if job.arm == LONG else job.arm
    found = next(one for one in SETTINGS[arm] if one.name == job.setting)
    return lasting(found, LONG_EPOCHS) if job.arm == LONG else found


def start(job: Job, shape: Mapping[str, Any], folder: Folder) -> tuple[Any, vh.Subnet, int]:
    """The net before its training, its shape, and the passes that made it."""
    if job.arm == PRUNED:
        return *pruned(shrink_original.load(folder), shape["amount"]), FEW
    if job.arm == FASTNAS:
        return *of_fastnas(shrink_original.load(folder), shape["amount"], folder), 0
    subnet = vh.Subnet.from_dict(shape["subnet"])
    return vh.build_model(subnet, seed=job.seed), subnet, 0


def about(job: Job) -> dict[str, Any]:
    return {"arm": job.arm, "level": job.level, "setting": job.setting, "seed": job.seed}


def _keep(job: Job, model: Any, subnet: vh.Subnet, told: Mapping[str, Any], folder: Folder) -> None:
    """Predictions first, then the row that names them."""
    shape = {"digest": subnet.digest, "subnet": subnet.to_dict(), "macs": subnet.macs, "params": subnet.params}
    row = about(job) | shape | dict(told) | {"search": on_search(model.eval()), "machine": shrink_training.machine()}
    append_line(folder.rows, row | seal(model, job.name, folder))
