"""Accuracy of subnets with the weights of a run's supernet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.deadline import Deadline, TimeAllowed
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell
from vitas_hw.runs.artifacts import load_run_data, load_run_supernet
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import Named, subnets_named
from vitas_hw.searching.result import Candidate, candidate_of
from vitas_hw.training.recipe import Runtime

if TYPE_CHECKING:  # loaded for the help, which needs no torch
    from vitas_hw.training.evaluate import Accuracy

SPLITS = ("search", "test")
_BEFORE = "a subnet was evaluated"


@settings
class EvaluateSettings:
    """What to evaluate besides the subnets that are named, and on what.

    Args:
        random: how many random subnets besides.
        split: ``search``, or ``test``, the images that nothing was chosen by: who looks at them often chooses by them.
        device: ``auto`` takes a GPU if there is one.
        threads: see ``Runtime``.
        max_time_s: see ``TimeAllowed``; what is not evaluated by then has no accuracy.
        seed: of the random ones.
    """

    random: int = setting(default=0, help="Random subnets to add.", at_least=0)
    split: str = setting(
        default="search", help="Split to evaluate on: search, or test (only at the very end).", choices=SPLITS
    )
    device: str = setting(default="auto", like=Runtime)
    threads: int | None = setting(default=None, like=Runtime)
    max_time_s: float | None = setting(default=None, like=TimeAllowed)
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)


@dataclass(frozen=True)
class Evaluated:
    """A subnet and its accuracy with inherited weights; None if the time was up before."""

    subnet: Subnet
    accuracy: Accuracy | None

    def cells(self) -> dict[str, Cell]:
        """As a row of a table."""
        subnet, found = self.subnet, self.accuracy
        return {
            "digest": subnet.digest,
            "top1": None if found is None else found.top1,
            "top5": None if found is None else found.top5,
            "loss": None if found is None else found.loss,
            "macs": subnet.macs,
            "params": subnet.params,
        }


def evaluate(
    run: Run,
    subnets: Sequence[str] = (),
    settings: EvaluateSettings = EvaluateSettings(),  # noqa: B008  # frozen
    *,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> list[Evaluated]:
    """Top-1 and top-5 of subnets of the run's space; the images are decoded once and kept on the device.

    Args:
        run: has been trained.
        subnets: see ``subnets_named``; each is evaluated with the supernet's weights.
        settings: random ones besides, and on what.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: no subnet at all, or one that is not of the run's space.
        TimeIsUpError: before any was evaluated.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    space = run.space(None)
    codes = space.sample_codes(settings.random, np.random.default_rng(settings.seed))
    chosen: list[Named | Candidate] = [one for word in subnets for one in subnets_named(word, run)]
    chosen += [candidate_of(space, code) for code in codes]
    if not chosen:
        raise InputError("No subnet was given to evaluate.", "Name one, or try `random=10`.", field="subnets")
    for one in chosen:
        if not space.contains(one.subnet):
            raise InputError(f"Subnet {one.subnet.digest} is not in the run's space {space.name!r}.", field="subnets")
    if not run.supernet.exists():
        raise InputError(f"The run {run.path} has no supernet.", step="train")
    from vitas_hw.training.distributed import Ranks, pick_device
    from vitas_hw.training.evaluate import AT_ONCE, subnet_accuracy
    from vitas_hw.training.threads import working_threads

    supernet = load_run_supernet(run)
    where = pick_device(settings.device, Ranks())
    supernet.to(where)
    with progress.step("loading the images", 1) as advance:
        images = getattr(load_run_data(run, space), settings.split)
        images.ready(lambda: deadline.check(_BEFORE))
        images = images.to(where)
        advance("")
    found: list[Accuracy] = []
    threads = working_threads(settings.threads, space, AT_ONCE, where)
    with threads, progress.step(f"evaluating on {settings.split}", len(chosen)) as advance:
        for one in chosen:
            if found and deadline.over():
                progress.note(f"time is up: {len(found)} of {len(chosen)} subnets evaluated")
                break
            deadline.check(_BEFORE)
            found.append(subnet_accuracy(supernet, one.subnet, images, one.layers))
            advance("")
    return [Evaluated(one.subnet, accuracy) for one, accuracy in zip_longest(chosen, found)]
