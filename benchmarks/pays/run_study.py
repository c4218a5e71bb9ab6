"""Does the searched transformer beat the one drawn by hand, at equal cost? See PROTOCOL.md.

    python benchmarks/pays/run_study.py pilot    # what fixes the regime, see pays_regime.py
    python benchmarks/pays/run_study.py train    # the nets that are missing, in the order of their worth; --minutes 60
    python benchmarks/pays/run_study.py report   # everything that is shown, from the rows that are there
    python benchmarks/pays/run_study.py finish   # reads the test part's labels: once, when nothing is missing

Every trained net is a line of ``rows.jsonl``, with what it was trained on and what it cost. It may be stopped at any
moment (Ctrl-C, SIGTERM) and repeated: the net in training goes on from its last checkpoint. Several may run at once,
one a core: each takes a net that no other has. What a net says of the test images lies unscored in ``sealed/``.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pays_finish
import pays_nets
import pays_train
import torch
from pays_images import Images, sealed_images, training
from pays_nets import CEILINGS, Net
from pays_regime import PILOTS, fixed
from pays_train import Recipe

from vitas_hw.core import Subnet, append_line
from vitas_hw.profiling.environment import environment

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
ROWS, PILOT, SEALED, CHECKPOINTS = HERE / "rows.jsonl", HERE / "pilot.jsonl", HERE / "sealed", HERE / "checkpoints"
SEARCHES = HERE / "searches.jsonl"  # what the supernets chose, and how they score the nets of the rank study
TEST = HERE / "test.json"  # of ``finish``
FIRST_CEILINGS = ("1M", "3M")  # the cheap ones tell something first
SEEDS = {"by hand": 1, "best by hand": 3, "random": 2, "largest": 2, "line": 2, "ours": 2, "smaller": 2}
SUPERNET_SEEDS = (0, 1, 2)
Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Job:
    """One net to train."""

    net: Net
    seed: int

    @property
    def key(self) -> tuple[str, int]:
        return self.net.subnet.digest, self.seed

    @property
    def name(self) -> str:
        return f"{self.net.subnet.digest}-{self.seed}"


@dataclass(frozen=True)
class Trained:
    """A net, its logits on the search part, its row."""

    model: Any
    on_search: Any
    row: dict[str, Any]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@cache
def drawn() -> tuple[Net, ...]:
    return tuple(pays_nets.load())


def nets(arm: str, ceiling: str) -> list[Net]:
    return [net for net in drawn() if (net.arm, net.ceiling) == (arm, ceiling)]


def on_search(rows: Rows) -> dict[tuple[str, int], float]:
    return {(row["digest"], row["seed"]): row["search"]["top1"] for row in rows}


def best(arm: str, ceiling: str, rows: Rows) -> Net | None:
    """The arm's net that is best on the search part with seed 0; None while one is missing. Of equals the first."""
    found, known = nets(arm, ceiling), on_search(rows)
    if not found or not all((net.subnet.digest, 0) in known for net in found):
        return None
    first = max(found, key=lambda net: known[net.subnet.digest, 0])
    return Net(f"best {arm}", ceiling, first.why, first.subnet)


def line(ceiling: str, rows: Rows) -> Net | None:
    """The subnet that a line on patch size, log MACs and width promises most; fitted to all ceilings' random nets."""
    known = on_search(rows)
    random = [net for net in drawn() if net.arm == "random"]
    if not all((net.subnet.digest, 0) in known for net in random):
        return None
    truth = np.array([known[net.subnet.digest, 0] for net in random])
    weights = np.linalg.lstsq(np.array([_features(net.subnet) for net in random]), truth, rcond=None)[0]
    largest = [
        _largest_of(CEILINGS[ceiling], patch, embed)
        for patch in pays_nets.SPACE.patch_sizes
        for embed in pays_nets.SPACE.embed_dims
        if pays_nets.any_fits(CEILINGS[ceiling], patch, embed)
    ]
    chosen = max(largest, key=lambda subnet: float(_features(subnet) @ weights))
    return Net("line", ceiling, f"patch {chosen.patch_size}, width {chosen.embed_dim}", chosen)


@cache
def _largest_of(ceiling: int, patch: int, embed: int) -> Subnet:
    return pays_nets.largest(ceiling, "macs", [patch], [embed])


def _features(subnet: Any) -> Any:
    return np.array([subnet.patch_size == 4, subnet.patch_size == 7, np.log(subnet.macs), subnet.embed_dim], float)


def ours(ceiling: str, searches: Rows) -> list[Net]:
    """What the searches of the supernets chose under a ceiling of MACs."""
    mine = [row for row in searches if row["kind"] == "search" and row["ceiling"] == ceiling]
    return [Net("ours", ceiling, f"supernet {row['seed']}", Subnet.from_dict(row["subnet"])) for row in mine]


def by_latency(searches: Rows) -> list[Net]:
    """What they chose under a measured latency (pays_latency.py)."""
    mine = [row for row in searches if row["kind"] == "latency"]
    return [Net("ours", "latency", f"supernet {row['seed']}", Subnet.from_dict(row["subnet"])) for row in mine]


def jobs(rows: Rows, searches: Rows) -> list[Job]:
    """All that can be trained now, the most telling first; a net of several arms is trained once, for the first."""
    found: dict[tuple[str, int], Job] = {}
    for job in _jobs(rows, searches):
        found.setdefault(job.key, job)
    return list(found.values())


def _jobs(rows: Rows, searches: Rows) -> Iterator[Job]:
    later = tuple(name for name in CEILINGS if name not in FIRST_CEILINGS)
    for ceilings in (FIRST_CEILINGS, later):
        for arm in ("by hand", "random"):
            yield from (Job(net, 0) for ceiling in ceilings for net in nets(arm, ceiling))
    for ceiling in CEILINGS:
        yield from (Job(net, seed) for net in ours(ceiling, searches) for seed in range(SEEDS["ours"]))
    yield from (Job(net, seed) for net in by_latency(searches) for seed in range(SEEDS["ours"]))
    for ceiling in CEILINGS:
        for arm, found in (("best by hand", best("by hand", ceiling, rows)), ("line", line(ceiling, rows))):
            yield from (Job(found, seed) for seed in range(SEEDS[arm]) if found)
        yield from (Job(net, seed) for net in nets("largest", ceiling) for seed in range(SEEDS["largest"]))
    for arm, ceilings in (("random", tuple(CEILINGS)), ("smaller", ("none",))):
        yield from (Job(net, seed) for seed in range(SEEDS[arm]) for name in ceilings for net in nets(arm, name))


def missing(rows: Rows, searches: Rows) -> list[str]:
    """What the protocol asks for and is not there yet; what depends on missing nets is not listed beside them."""
    done = on_search(rows)
    nets = [
        f"{job.net.arm} {job.net.ceiling}, {job.net.why}, seed {job.seed}"
        for job in jobs(rows, searches)
        if job.key not in done
    ]
    there = {(row["ceiling"], row["seed"]) for row in searches if row["kind"] == "search"}
    wanted = [(ceiling, seed) for ceiling in CEILINGS for seed in SUPERNET_SEEDS]
    timed = {row["seed"] for row in searches if row["kind"] == "latency"}
    nets += [f"search {ceiling}, supernet {seed}" for ceiling, seed in wanted if (ceiling, seed) not in there]
    return nets + [f"search by latency, supernet {seed}" for seed in SUPERNET_SEEDS if seed not in timed]


def next_job(taken: Callable[[str], bool]) -> Job | None:
    """The first that has no row and is not ``taken``; rows are read again, since what comes next depends on them."""
    rows = read(ROWS)
    done = on_search(rows)
    return next((job for job in jobs(rows, read(SEARCHES)) if job.key not in done and not taken(job.name)), None)


class Claims(ExitStack):
    """Nets that this process has begun, so that several share the study: locks, which end with the process."""

    def taken(self, name: str) -> bool:
        """Whether another process has that net; else it is ours from now on."""
        CHECKPOINTS.mkdir(parents=True, exist_ok=True)
        file = self.enter_context((CHECKPOINTS / f"{name}.lock").open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def run(job: Job, recipe: Recipe, images: Images, checkpoint: Path, *, watch: bool = False) -> Trained | None:
    """Train one net on one thread; None if asked to stop."""
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    trained = pays_train.train(job.net.subnet, job.seed, recipe, images, checkpoint, watch=watch)
    if trained is None:
        return None
    model, at = trained
    found = pays_train.logits(model, images.search)
    row = job.net.to_dict() | {
        "seed": job.seed,
        "recipe": recipe.to_dict(),
        "images": len(images.train),
        "epochs": recipe.epochs,
        "losses": at.losses,
        "search": pays_train.on_search(found, images),
        "cpu_s": round(at.cpu_s, 2),
        "wall_s": round(at.wall_s, 2),
        "sittings": at.sittings,
        "finished_sitting_began": started,
        "machine": machine(),
    }
    return Trained(model, found, row | ({"by_epoch": at.by_epoch} if watch else {}))


@cache
def machine() -> dict[str, Any]:
    asked = ["git", "-C", str(HERE), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return environment({"threads": torch.get_num_threads(), "commit": commit or None})


def train(minutes: float) -> None:
    """Train what is missing; of each net the predictions for the test images are kept before its row is."""
    recipe = fixed(read(PILOT))
    if recipe is None:
        raise SystemExit("The pilot has not fixed the regime yet (pays_regime.py): no net of an arm is trained before.")
    if any(row["recipe"] != recipe.to_dict() for row in read(ROWS)):
        raise SystemExit("There are nets of another recipe: one recipe for all, so no pilot may be added after them.")
    torch.set_num_threads(1)
    images, unlabelled = training(), sealed_images()
    deadline = time.monotonic() + 60 * minutes
    with Claims() as claims:
        while (job := next_job(claims.taken)) is not None and time.monotonic() < deadline:
            print(job.net.arm, job.net.ceiling, job.net.why, "seed", job.seed, flush=True)
            checkpoint = CHECKPOINTS / f"{job.name}.pt"
            trained = run(job, recipe, images, checkpoint)
            if trained is None:
                return
            on_test = pays_train.classes(pays_train.logits(trained.model, unlabelled))
            SEALED.mkdir(exist_ok=True)
            np.savez_compressed(SEALED / f"{job.name}.npz", search=pays_train.classes(trained.on_search), test=on_test)
            append_line(ROWS, trained.row | {"sealed": job.name, "sealed_sha256": pays_finish.digest(on_test)})
            checkpoint.unlink(missing_ok=True)
            print(f"  {trained.row['search']}, {trained.row['cpu_s']} s on the CPU", flush=True)


def pilot(minutes: float) -> None:
    """Train the pilot's nets that are missing, watched epoch by epoch."""
    torch.set_num_threads(1)
    images, deadline = training(), time.monotonic() + 60 * minutes
    with Claims() as claims:
        for name, how in PILOTS.items():
            done = any(row["pilot"] == name for row in read(PILOT))
            if done or time.monotonic() >= deadline or claims.taken(f"pilot {name}"):
                continue
            net = next(net for net in nets("by hand", how.ceiling) if net.why == how.why)
            print("pilot", name, flush=True)
            checkpoint = CHECKPOINTS / f"pilot {name}.pt"
            trained = run(Job(net, 0), how.recipe, images, checkpoint, watch=True)
            if trained is None:
                return
            append_line(PILOT, {"pilot": name} | trained.row)
            checkpoint.unlink(missing_ok=True)
            print(f"  {trained.row['search']}, {trained.row['cpu_s']} s on the CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["pilot", "train", "report", "finish"])
    parser.add_argument("--minutes", type=float, default=60, help="start no net after this long")
    given = parser.parse_args()
    if given.step in ("pilot", "train"):
        {"pilot": pilot, "train": train}[given.step](given.minutes)
    elif given.step == "finish":
        pays_finish.finish(read(ROWS), missing(read(ROWS), read(SEARCHES)), SEALED, TEST)
    else:
        from pays_report import report

        report(read(ROWS), read(SEARCHES), read(PILOT), TEST, HERE / "report.json")


if __name__ == "__main__":
    main()
