"""Accuracy of subnets with the weights of a run's super-transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.runs.artifacts import load_run_data, load_run_supernet
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import Layers, named_subnets
from vitas_hw.training.distributed import Ranks, pick_device
from vitas_hw.training.evaluate import Accuracy, subnet_accuracy

SPLITS = ("test", "search")


@dataclass(frozen=True)
class Evaluated:
    """A subnet and its accuracy with inherited weights; ``layers`` as of ``Supernet.forward``."""

    subnet: Subnet
    accuracy: Accuracy
    layers: Layers = None


def evaluate(
    run: Run,
    subnets: Sequence[str] = (),
    *,
    random: int = 0,
    split: str = "test",
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> list[Evaluated]:
    """Top-1 and top-5 of subnets of the run's space; the images are decoded once and kept on the device.

    Args:
        run: has been trained.
        subnets: ``smallest``, ``largest``, published names, or files: a subnet's JSON, or one a line.
        random: how many random subnets besides.
        split: ``test``, the images that nothing was chosen by, or ``search``.
        seed: of the random ones.
        device: ``auto`` takes a GPU if there is one.
        progress: where to report to.

    Raises:
        InputError: no subnet at all, one that is not of the run's space, an unknown split.
    """
    if split not in SPLITS:
        raise InputError(f"Unknown part {split!r} of the data.", f"Known: {', '.join(SPLITS)}.")
    space = run.space(None)
    chosen = [found for name in subnets for found in named_subnets(name, space)]
    for code in space.sample_codes(random, np.random.default_rng(seed)):
        chosen.append((space.decode(code), None if space.identity_shifting else space.layers(code)))
    if not chosen:
        raise InputError("No subnet was given to evaluate.", "Run: vitas-hw evaluate --random 10")
    for subnet, _ in chosen:
        if not space.contains(subnet):
            raise InputError(f"Subnet {subnet.digest} is not in the run's space {space.name!r}.")
    supernet = load_run_supernet(run)
    where = pick_device(device, Ranks())
    supernet.to(where)
    with progress.step("loading the images", 1) as advance:
        images = getattr(load_run_data(run, space), split).to(where)
        advance("")
    rows = []
    with progress.step(f"evaluating on {split}", len(chosen)) as advance:
        for subnet, layers in chosen:
            rows.append(Evaluated(subnet, subnet_accuracy(supernet, subnet, images, layers), layers))
            advance("")
    return rows
