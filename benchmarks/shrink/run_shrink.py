"""A trained ViT made smaller: ours, Torch-Pruning, by hand from scratch, FastNAS. What and how: README.md beside this.

    python benchmarks/shrink/run_shrink.py original    # train the model to start from
    python benchmarks/shrink/run_shrink.py shapes      # quiet machine: its latency, a profile, the peers' nets
    python benchmarks/shrink/run_shrink.py train       # trainings that are missing, by their worth; --minutes 60
    python benchmarks/shrink/run_shrink.py search      # quiet machine: supernets that are trained; then train again
    python benchmarks/shrink/run_shrink.py latencies   # quiet machine: all nets in one interleaved run
    python benchmarks/shrink/run_shrink.py road        # quiet machine: wall time of the whole command
    python benchmarks/shrink/run_shrink.py report      # everything that is shown, from what is there
    python benchmarks/shrink/run_shrink.py finish      # reads the test part's labels: once, when nothing is missing

Each may be stopped (Ctrl-C, SIGTERM) and repeated: a training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE.parent), str(HERE.parent / "pays")]

import pays_finish  # noqa: E402
import shrink_jobs  # noqa: E402
import shrink_meter  # noqa: E402
import shrink_original  # noqa: E402
import shrink_ours  # noqa: E402
import shrink_report  # noqa: E402
import shrink_road  # noqa: E402
import shrink_shapes  # noqa: E402
import shrink_training  # noqa: E402
import torch  # noqa: E402
from shrink_setup import ORIGINAL  # noqa: E402
from shrink_training import Folder, read  # noqa: E402

import vitas_hw as vh  # noqa: E402
from vitas_hw.core import write_atomic  # noqa: E402


def original(folder: Folder) -> None:
    if folder.original.exists():
        raise SystemExit(f"{folder.original.name} is there: everything else begins with it.")
    shrink_original.train_original(folder)


def train(folder: Folder, minutes: float) -> None:
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline and (job := shrink_jobs.next_training(read(folder.rows), folder)) is not None:
        print(*job.key, flush=True)
        if not shrink_jobs.do(job, folder):
            return
    for road in shrink_jobs.searches(read(folder.rows), folder):
        print("waits for a search:", road.name)


def search(folder: Folder, minutes: float) -> None:
    deadline = time.monotonic() + 60 * minutes
    for road in shrink_jobs.searches(read(folder.rows), folder):
        if time.monotonic() < deadline:
            print(road.name, flush=True)
            shrink_ours.search(road)


def latencies(folder: Folder) -> None:
    """Of every net that has a row, and the original."""
    nets = [vh.Subnet.from_dict(row["subnet"]) for row in read(folder.rows) if "subnet" in row]
    distinct = list(dict.fromkeys([ORIGINAL, *nets]))
    found = shrink_meter.milliseconds(distinct, rounds=15)
    ms = {subnet.digest: round(p50, 5) for subnet, p50 in zip(distinct, found, strict=True)}
    write_atomic(folder.latencies, json.dumps({"ms": ms, "machine": shrink_training.machine()}, indent=1) + "\n")


def finish(folder: Folder) -> None:
    rows = read(folder.rows)
    scored = [row for row in rows if "sealed" in row]
    pays_finish.finish(scored, shrink_jobs.missing(rows, folder), folder.sealed, folder.test)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = ["original", "shapes", "train", "search", "latencies", "road", "report", "finish"]
    parser.add_argument("step", choices=steps)
    parser.add_argument("--minutes", type=float, default=60, help="begin no training or search after this long")
    parser.add_argument("--kept", type=Path, default=HERE / "kept", help="weights and checkpoints of this machine")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    folder = Folder(HERE, given.kept)
    if given.step in ("train", "search"):
        {"train": train, "search": search}[given.step](folder, given.minutes)
        return
    each = {"original": original, "shapes": shrink_shapes.make_shapes, "latencies": latencies, "finish": finish}
    (each | {"road": shrink_road.walk, "report": shrink_report.report})[given.step](folder)


if __name__ == "__main__":
    main()
