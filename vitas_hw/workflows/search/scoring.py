"""Candidates scored with a supernet's weights on growing parts of the search split, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vitas_hw.cluster.connection import connected
from vitas_hw.cluster.evaluate import RayPool, SpreadEvaluate
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import ImageData
from vitas_hw.data.splits import Split
from vitas_hw.runs.artifacts import load_run_data, load_run_supernet, read_training
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.engine import Evaluate, Evaluations, Job, Scorer
from vitas_hw.searching.scores import MOST_KEPT, Score
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.distributed import Ranks, pick_device
from vitas_hw.training.evaluate import AT_ONCE, subnet_accuracy
from vitas_hw.training.threads import working_threads
from vitas_hw.workflows.search.settings import SearchSettings

_FEWEST = 1000  # images in the first part: fewer order subnets hardly better than chance
_SHARES = (1.0,), (0.5, 0.5), (0.25, 0.25, 0.5)


def in_order(scorer: Scorer) -> Evaluate:
    """One job after the other, in this process."""
    return partial(map, scorer)


@dataclass(frozen=True)
class SupernetScorer:
    """Loss and top-1 with the supernet's weights on a part of the search split.

    Of each part as large a share of the images has its losses kept, so that ``MOST_KEPT`` are of the whole split.
    """

    supernet: Supernet
    parts: tuple[Split, ...]
    autocast: str | None = None  # as it was trained

    def __call__(self, job: Job) -> Score:
        candidate, number = job
        part, images = self.parts[number], sum(len(one) for one in self.parts)
        found = subnet_accuracy(self.supernet, candidate.subnet, part, candidate.layers, autocast=self.autocast)
        return Score.of(found.losses, found.top1, kept=max(MOST_KEPT * len(part) // max(images, MOST_KEPT), 1))

    def to(self, device: str) -> SupernetScorer:
        """The supernet itself is moved, as torch's modules are."""
        return replace(self, supernet=self.supernet.to(device), parts=tuple(one.to(device) for one in self.parts))


def part_shares(images: int) -> tuple[float, ...]:
    """How a search split is divided for racing: one part unless it is large."""
    return max((shares for shares in _SHARES if len(shares) == 1 or images * shares[0] >= _FEWEST), key=len)


def parts_of(split: Split, shares: Sequence[float]) -> list[Split]:
    """The split in parts, each image in one, in an order that is always the same."""
    if len(shares) == 1:
        return [split]
    order = np.random.default_rng(0).permutation(len(split))
    ends = np.round(np.cumsum(shares) * len(split)).astype(int)
    return [split.subset(part.tolist()) for part in np.split(order, ends[:-1])]


def supernet_evaluations(
    space: SearchSpace,
    supernet: object,
    data: object,
    archive: Archive,
    spread: Callable[[Scorer], Evaluate] = in_order,
    autocast: str | None = None,
) -> Evaluations:
    """Scores of the space's candidates with the supernet's weights on the data's search split.

    Args:
        space: of the candidates.
        supernet: a ``Supernet`` of it.
        data: an ``ImageData``, its search split where the supernet is.
        archive: what is known already.
        spread: who does the work.
        autocast: what the supernet runs in, see ``autocast_dtype``.

    Raises:
        InputError: no ``Supernet`` of the space, or no ``ImageData``.
    """
    if not isinstance(supernet, Supernet) or not isinstance(data, ImageData):
        raise InputError("search needs supernet=build_supernet(...) or a loaded one, and data=load_data(...).")
    if supernet.space != space:
        raise InputError(f"The supernet is one of another space than {space.name!r}.")
    parts = tuple(parts_of(data.search, part_shares(len(data.search))))
    exact = tuple(len(part) / len(data.search) for part in parts)
    return Evaluations(spread(SupernetScorer(supernet, parts, autocast)), exact, archive)


@contextmanager
def run_evaluations(
    run: Run, space: SearchSpace, settings: SearchSettings, fresh: bool, progress: Progress
) -> Iterator[tuple[Evaluations, tuple[Supernet, ImageData] | None]]:
    """Evaluations with a run's supernet, kept in the run; and the supernet and the data on the settings' device.

    Workers of a cluster end with it. A ranking by size needs none of this.

    Raises:
        InputError: no such device.
        FileError: a file of the run is missing or broken.
        VitasError: no cluster, or none with such a device.
    """
    if not settings.by_top1:
        progress.note("subnets are ranked by their number of parameters: no top-1 is known")
        yield Evaluations(None), None
        return
    with ExitStack() as stack:
        pool = None
        if settings.ray is not None:
            cluster = stack.enter_context(connected(settings.ray))
            pool = RayPool(cluster, settings.ray_gpus, settings.population)
            progress.note(f"{pool.places} workers of the Ray cluster evaluate, each on a {pool.device}")

        def spread(scorer: Scorer) -> Evaluate:
            if pool is None:
                return in_order(scorer)
            pool.load(scorer)
            return SpreadEvaluate(pool, progress)

        where = pick_device(settings.device, Ranks())
        stack.enter_context(working_threads(settings.threads, space, AT_ONCE, where))
        evaluates, handed_over = (where, where) if pool is None else (pool.device, "cpu")
        with progress.step("loading the images", 1) as advance:
            supernet, data = load_run_supernet(run), load_run_data(run, space)
            advance("")
        header: dict[str, object] = {"supernet": file_sha256(run.supernet), "data": file_sha256(run.data)}
        header |= {"parts": part_shares(len(data.search)), "device": evaluates.split(":")[0]}
        if fresh:
            run.evaluations.unlink(missing_ok=True)
        archive = Archive.open(run.evaluations, header)
        if len(archive):
            progress.note(f"{len(archive)} evaluations are known from {archive.path}")
        training = read_training(run)
        autocast = None if training is None else training["recipe"].get("autocast")
        evaluations = supernet_evaluations(
            space, supernet.to(handed_over), _on(data, handed_over), archive, spread, autocast
        )
        yield evaluations, (supernet.to(where), _on(data, where))


def _on(data: ImageData, device: str) -> ImageData:
    return replace(data, search=data.search.to(device))
