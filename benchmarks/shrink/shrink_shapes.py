"""The nets of the peers, and the profile that ours searches by: all that needs a quiet machine before any training.

Each is the widest of its family whose measured p50 is inside the budget. ``shapes.json`` keeps them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import shrink_meter
import shrink_original
import shrink_peers
import shrink_training
from shrink_meter import widest
from shrink_ours import space_of
from shrink_peers import MOST_KEPT, Made, RefusedError
from shrink_setup import LEVELS, ORIGINAL, SHORT_DEPTH
from shrink_training import Folder, images, on_search

import vitas_hw as vh
from vitas_hw.core import write_atomic
from vitas_hw.profiling import save_profile
from vitas_hw.runs import Run
from vitas_hw.supernet import Original
from vitas_hw.workflows.few_images import few_images
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings

PROFILED = 60  # subnets
_STEP = 5  # percent
FULL = 0.98  # of the budget: above it the MLPs of a hand-shrunk net are not widened


def make_shapes(folder: Folder) -> None:
    """Whatever of the profile and the nets is missing."""
    original = shrink_original.load(folder)
    if not folder.profile.exists():
        with tempfile.TemporaryDirectory() as made:
            run = Run(Path(made))
            run.begin(space_of(original))
            save_profile(profile(run, ProfileSettings(num_subnets=PROFILED)).profile, folder.profile)
    for level, times in LEVELS.items():
        for shape, find in _families(original, folder).items():
            known = read_shapes(folder)
            if lacking := shrink_peers.lacks_of(shape):
                print(f"{level} {shape}: {lacking}. The README of this folder says how to get it.")
            elif shape not in known.get(level, {}):
                cpu, found = time.process_time(), find(1 / times)
                found |= {"cpu_s": round(time.process_time() - cpu, 1), "machine": shrink_training.machine()}
                known.setdefault(level, {})[shape] = found
                write_atomic(folder.shapes, json.dumps(known, indent=1) + "\n")
                print(level, shape, {key: found[key] for key in ("amount", "share", "refused") if key in found})


def read_shapes(folder: Folder) -> dict[str, dict[str, Any]]:
    """By level and shape: subnet, its share of the original's p50, what amount gave it; or why there is none."""
    return json.loads(folder.shapes.read_text()) if folder.shapes.exists() else {}


def pruned(original: Original, kept: int) -> Made:
    """By Torch-Pruning, on the images that ours scores importance on."""
    return shrink_peers.torch_pruned(original, kept, few_images(images()))


def of_fastnas(original: Original, flops: int, folder: Folder) -> Made:
    """By FastNAS, which scores on the search part as ours does."""
    folder.kept.mkdir(parents=True, exist_ok=True)
    return shrink_peers.fastnas(original, flops, lambda model: on_search(model)["top1"], folder.kept / "fastnas.pth")


def _families(original: Original, folder: Folder) -> dict[str, Callable[[float], dict[str, Any]]]:
    return {
        "narrow": partial(_by_hand, ORIGINAL.depth),
        "short": partial(_by_hand, SHORT_DEPTH),
        "pruned": partial(_percent, lambda kept: pruned(original, kept)[1]),
        "fastnas": partial(_percent, lambda flops: of_fastnas(original, flops, folder)[1]),
    }


def _by_hand(depth: int, budget: float) -> dict[str, Any]:
    """The widest embedding; then, if a whole head's width would be too much, wider MLPs."""
    fits = _fitting(budget)
    first = widest(1, ORIGINAL.blocks[0].head_dim, lambda width: (width, _hand(width, depth)), lambda at: fits(at[1]))
    if first is None:
        return {"refused": "even heads of one channel are too slow"}
    width, subnet = first
    if shrink_meter.shares([subnet])[0] < FULL * budget:
        mlp, most = subnet.blocks[0].mlp_dim, ORIGINAL.blocks[0].mlp_dim
        subnet = widest(mlp, most, lambda one: _hand(width, depth, one), fits) or subnet
    return _told(subnet, width)


def _hand(width: int, depth: int, mlp: int | None = None) -> vh.Subnet:
    return shrink_peers.narrow(ORIGINAL, width, depth, mlp)


def _percent(made: Callable[[int], vh.Subnet], budget: float) -> dict[str, Any]:
    """The largest percentage that a peer keeps. Its own message where it does not do it."""
    fits = _fitting(budget)
    # downwards, not by bisection: far down Torch-Pruning's ranking would empty a group, which it then leaves whole
    for least in range(MOST_KEPT - _STEP, 0, -_STEP):
        try:
            if not fits(made(least)):
                continue
        except RefusedError as error:
            return {"refused": f"{least + _STEP}% is too slow, and of {least}% it says: {error}"}
        found = widest(least, least + _STEP - 1, lambda amount: (amount, made(amount)), lambda one: fits(one[1]))
        assert found is not None
        return _told(found[1], found[0])
    return {"refused": f"its smallest net, of {least}%, is too slow"}


def _fitting(budget: float) -> Callable[[vh.Subnet], bool]:
    known: dict[str, bool] = {}

    def fits(subnet: vh.Subnet) -> bool:
        if subnet.digest not in known:
            known[subnet.digest] = shrink_meter.shares([subnet])[0] <= budget
        return known[subnet.digest]

    return fits


def _told(subnet: vh.Subnet, amount: int) -> dict[str, Any]:
    about = {"subnet": subnet.to_dict(), "digest": subnet.digest, "macs": subnet.macs, "params": subnet.params}
    return about | {"amount": amount, "share": round(shrink_meter.shares([subnet])[0], 4)}
