"""The wall time of ``vitas-hw shrink`` at one half, all defaults, as a table of its steps.

The command tells what its choice scores on the test part, so it is given the images with labels that say nothing.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pays_images
import shrink_training
from shrink_setup import DATA, HERE, LEVELS
from shrink_training import Folder

from vitas_hw.core import write_atomic
from vitas_hw.runs import Run

GOAL_S = 40 * 60  # on two cores, for 54,000 images


def blind_copy(folder: Path) -> None:
    """Fashion-MNIST with zeros for the labels of its test part."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3"):
        shutil.copyfile(pays_images.FOLDER / f"{name}-ubyte.gz", folder / f"{name}-ubyte.gz")
    images = len(pays_images.sealed_images())
    head = (0x801).to_bytes(4, "big") + images.to_bytes(4, "big")
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(head + bytes(images))


def steps_of(manifest: dict[str, Any], began: datetime) -> list[dict[str, Any]]:
    """Seconds of each step of a run, by when it and the one before it were finished."""
    found, last = [], began
    for step in manifest["steps"]:
        at = datetime.fromisoformat(step["finished"])
        found.append({"step": step["step"], "seconds": (at - last).total_seconds()})
        last = at
    return found


def walk(folder: Folder, *options: str) -> None:
    """Run the command in a run of its own and keep its steps. Stopped, it begins anew. Needs a quiet machine."""
    if not folder.original.exists():
        raise SystemExit("The original is not there yet: python benchmarks/shrink/run_shrink.py original")
    with tempfile.TemporaryDirectory() as place:
        data, run = Path(place) / "data", Path(place) / "run"
        blind_copy(data)
        speedup = f"{LEVELS['half']}x"
        asked = ["shrink", str(folder.original), "--data", f"{DATA}:{data}", "--speedup", speedup, "--run", str(run)]
        load, began, wall = os.getloadavg()[0], datetime.now(UTC).replace(microsecond=0), time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
        subprocess.run([sys.executable, "-m", "vitas_hw", *asked, *options], check=True, env=environment)
        found = {"seconds": round(time.perf_counter() - wall, 1), "goal_seconds": GOAL_S, "load_before": load}
        found |= {"steps": steps_of(Run(run).read(), began), "options": list(options)}
    write_atomic(folder.road, json.dumps(found | {"machine": shrink_training.machine()}, indent=1) + "\n")
