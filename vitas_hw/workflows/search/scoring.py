"""What scores a run's subnets in a search, on this machine or a cluster, and what becomes of the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitas_hw.cluster.evaluate import SpreadEvaluate
from vitas_hw.cluster.evaluation_pool import RayPool, RayWorkers, ray_pool
from vitas_hw.core.progress import Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import ImageData
from vitas_hw.runs.artifacts import load_run_data, load_run_supernet
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.engine import Evaluate, Evaluations, Scorer
from vitas_hw.searching.result import PROXY_SCORE, SearchResult
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.supernet.weights_file import save_model
from vitas_hw.training.distributed import Ranks, pick_device
from vitas_hw.workflows.search.evaluations import Spread, in_order, part_shares, proxy_evaluations, supernet_evaluations
from vitas_hw.workflows.search.finetune import finetuned
from vitas_hw.workflows.search.settings import SearchSettings


@dataclass(frozen=True)
class Scoring:
    """Evaluations, and of a super-transformer what its choice is fine-tuned with: it, and its data on its device."""

    evaluations: Evaluations
    trained: tuple[Supernet, ImageData] | None = None


@dataclass(frozen=True)
class Kept:
    """The choice with weights to save, its top-1 with them and the tuning for the manifest; a proxy's has none."""

    save: Callable[[], None]
    top1: float | None
    finetuned: dict[str, Any] | None


@contextmanager
def scoring_of(
    run: Run,
    space: SearchSpace,
    settings: SearchSettings,
    device: str,
    workers: RayWorkers | None,
    fresh: bool,
    progress: Progress,
) -> Iterator[Scoring]:
    """What ``settings`` ask for; workers of a cluster end with it.

    Raises:
        InputError: no such device.
        FileError: a file of the run is missing or broken.
        VitasError: no cluster, or none with such a device.
    """
    with ExitStack() as stack:
        pool: RayPool | None = None
        if workers is not None:
            workers = replace(workers, gpus=0.0) if settings.proxy else workers
            pool = stack.enter_context(ray_pool(workers, settings.evolution.population))
            progress.note(f"{pool.places} workers of the Ray cluster evaluate, each on a {pool.device}")

        def spread(scorer: Scorer) -> Evaluate:
            if pool is None:
                return in_order(scorer)
            pool.load(scorer)
            return SpreadEvaluate(pool, progress)

        if settings.proxy:
            progress.note("subnets are ranked by a training-free proxy of accuracy, a weak one: no top-1 is known")
            scoring = _of_proxy(run, space, settings.seed, spread, fresh)
        else:
            where = pick_device(device, Ranks())
            evaluates = (where, where) if pool is None else (pool.device, "cpu")
            scoring = _of_supernet(run, space, where, evaluates, spread, fresh, progress)
        archive = scoring.evaluations.archive
        if len(archive):
            progress.note(f"{len(archive)} evaluations are known from {archive.path}")
        yield scoring


def _of_proxy(run: Run, space: SearchSpace, seed: int, spread: Spread, fresh: bool) -> Scoring:
    header = {"accuracy": "proxy", "seed": seed, "torch": version("torch"), "timm": version("timm")}
    archive = _archive(run.proxy_evaluations, header, PROXY_SCORE, fresh)
    return Scoring(proxy_evaluations(space, seed, archive, spread))


def _of_supernet(
    run: Run,
    space: SearchSpace,
    where: str,
    evaluates: tuple[str, str],
    spread: Spread,
    fresh: bool,
    progress: Progress,
) -> Scoring:
    """``evaluates`` are the device that does it, and the one that the weights are handed over on."""
    with progress.step("loading the images", 1) as advance:
        supernet, data = load_run_supernet(run), load_run_data(run, space)
        advance("")
    header: dict[str, object] = {"supernet": file_sha256(run.supernet), "data": file_sha256(run.data)}
    header |= {"parts": part_shares(len(data.search)), "device": evaluates[0].split(":")[0]}
    archive = _archive(run.evaluations, header, "top1", fresh)
    given = supernet.to(evaluates[1]), _on(data, evaluates[1])
    evaluations = supernet_evaluations(space, *given, archive, spread)
    return Scoring(evaluations, (supernet.to(where), _on(data, where)))


def keep_choice(
    staged: Run, result: SearchResult, scoring: Scoring, settings: SearchSettings, progress: Progress
) -> Kept:
    """Fine-tune the choice where it has weights to begin with; ``save`` writes them to ``staged``."""
    if scoring.trained is None:
        progress.note("the choice has no weights: no accuracy is known before it is trained")
        return Kept(lambda: None, None, None)
    supernet, data = scoring.trained
    tuned = finetuned(supernet, result.choice, data, settings.seed, progress)
    return Kept(lambda: save_model(tuned.model.cpu(), result.choice.subnet, staged.choice), tuned.top1, tuned.to_dict())


def _on(data: ImageData, device: str) -> ImageData:
    return replace(data, search=data.search.to(device))


def _archive(path: Path, header: dict[str, object], score: str, fresh: bool) -> Archive:
    if fresh:
        path.unlink(missing_ok=True)
    return Archive.open(path, header, score)
