"""Training the supernet of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
from torch import nn

from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.depths import Shares, block_shares
from vitas_hw.core.files import atomic_path, write_atomic
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import shared
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.data.broken import find_broken, without
from vitas_hw.data.load import ImageData, load_data
from vitas_hw.data.options import DataOptions
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.depth_shares import DepthShares, depth_shares, described
from vitas_hw.supernet.original import Original
from vitas_hw.supernet.pretrained import Filled, fill_from_pretrained, original_for, plain_model, with_classifier
from vitas_hw.supernet.supernet import Supernet, build_supernet
from vitas_hw.supernet.weights_file import save_model, save_supernet
from vitas_hw.training.baseline import baseline_of
from vitas_hw.training.callbacks import About, Callback, Callbacks, check_installed
from vitas_hw.training.distributed import Ranks, joined
from vitas_hw.training.evaluate import subnet_accuracy
from vitas_hw.training.health import Health
from vitas_hw.training.objective import SupernetObjective
from vitas_hw.training.teacher import load_teacher, on_device
from vitas_hw.training.threads import working_threads
from vitas_hw.workflows.few_images import few_images, images_for_a_classifier
from vitas_hw.workflows.train.checkup import checkup
from vitas_hw.workflows.train.resumable import Resumable
from vitas_hw.workflows.train.settings import NO_TEACHER, TrainSettings

_SAMPLED = 10  # subnets whose mean top-1 is reported


@dataclass(frozen=True)
class Trained(Tabular):
    """A trained supernet, or how far it got.

    ``path`` is the supernet's file, or the checkpoint's if time ran out; ``top1`` the mean over ten subnets
    drawn as in training, on the search split, None if time ran out; ``depths`` how often each depth was drawn,
    ``block_shares`` how many of the steps trained each block; ``health`` what the supernet says of itself, None as
    ``top1``; ``largest_top1`` of the largest subnet on the search split, before and after, where it began as a
    pretrained model.
    """

    path: Path
    epochs: int
    depths: DepthShares
    block_shares: Shares
    top1: float | None = None
    health: Health | None = None
    largest_top1: tuple[float, float] | None = None

    def to_dicts(self) -> list[dict[str, Cell]]:
        """One row."""
        return [{"path": str(self.path), "epochs": self.epochs, "top1": self.top1}]


@one_at_a_time
def train(
    run: Run,
    settings: TrainSettings = TrainSettings(),  # noqa: B008  # frozen
    *,
    space: str | SearchSpace | None = None,
    fresh: bool | None = False,
    teacher: nn.Module | None = None,
    deadline: Deadline | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress = SILENT,
) -> Trained:
    """Train the supernet of the run's space on the train part of the data.

    Under torchrun every process calls this; only the first one writes and reports. A training that was killed goes on
    from its last checkpoint and ends with the weights that it would have had.

    Args:
        run: where files go.
        settings: data, sharing, recipe, budget, device.
        space: itself, its name or YAML file; None is the run's, or the default.
        fresh: forget an unfinished training; None does so only if it was one with other settings.
        teacher: a module from images to logits, instead of the settings' one.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        callbacks: told of each epoch, beside what ``settings.log`` names.
        progress: where to report to.

    Raises:
        InputError: settings, data and space do not fit together, or an unfinished training had other settings.
        VitasError: the loss is no longer finite, or a checkpoint could not be written.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    found = run.space(space)
    with joined(settings.device) as (ranks, device), ExitStack() as stack:
        report = progress if ranks.first else SILENT
        with report.step("loading the images", 1) as advance:
            data = load_data(settings.data, found, **shared(settings, DataOptions))
            advance("")
        if settings.skip_broken or fresh or not run.training_state.exists():  # what has begun was checked then
            data = _readable(data, settings, ranks, report, deadline)
        recipe = settings.recipe(len(data.train))
        at_once = recipe.batch_size // recipe.accumulate // ranks.world
        stack.enter_context(working_threads(settings.threads, found, at_once, device, settings.workers))
        ranks.on_first(lambda: run.begin(found))
        depths, inputs = ranks.on_first(lambda: _depths(run, found, settings, report))
        supernet = build_supernet(found, settings.sharing, private=settings.private, seed=settings.seed)
        training = Resumable(
            what="the supernet",
            settings=settings,
            recipe=recipe,
            data=data,
            device=device,
            ranks=ranks,
            checkpoint=run.training_state,
            about={"space": found.to_dict(), "depths": depths.shares},
            progress=report,
            deadline=deadline,
        )
        blocks = (1.0,) * found.depth[1] if recipe.sandwich else block_shares(found, depths.shares)
        state = training.state(fresh=fresh)
        before = None
        if settings.init:
            # what has begun has its model in the run; its weights are written again to tell its top-1 before
            source = str(run.original) if state.begun and run.original.exists() else settings.init
            original = ranks.on_first(lambda: _kept_original(run, source, found, data))
            filled = fill_from_pretrained(supernet, original, few_images(data))
            before = ranks.on_first(lambda: _largest_top1(supernet, data, device, recipe.autocast))
            report.note(
                f"{_started_from(settings.init, filled, supernet)}; its top-1 on the search split: {before:.2%}"
            )
            if teacher is None and settings.teacher is None:
                teacher = plain_model(original, found)[0].requires_grad_(False)
        if teacher is None and settings.teacher not in (None, NO_TEACHER):
            teacher = load_teacher(settings.teacher, found)
        for named in filter(None, (settings.init, settings.teacher)):
            warn_of_normalisation(named, data, report)
        objective = SupernetObjective(supernet, recipe, depths=depths.shares, teacher=on_device(teacher, device))
        check_installed(settings.log or ())
        log = None
        if ranks.first:
            about_log = About("train", run.path.resolve().name, run.path, training.settled, state.begun)
            log = stack.enter_context(closing(Callbacks(settings.log, callbacks, about_log, report)))
        history = training.run(objective, state, log)
        if history is None:
            training.tell_stopped()
            return Trained(run.training_state, state.epoch, depths, blocks)
        if not ranks.first:
            return Trained(run.supernet, recipe.epochs, depths, blocks)
        try:
            top1 = _mean_top1(supernet, depths.shares, training)
            health = _health(supernet, depths.shares, training, history)
            deadline.check("the largest subnet was scored")
        except TimeIsUpError:  # the checkpoint holds the last step: only this is to be done again
            training.tell_stopped()
            return Trained(run.training_state, state.epoch, depths, blocks)
        if log is not None:
            log.metrics({"search/top1": top1}, recipe.epochs)
        largest = None if before is None else (before, _largest_top1(supernet, data, device, recipe.autocast))
        about = training.settled | {
            "depth_shares": depths.shares,
            "block_shares": blocks,
            "mean_costs": depths.means,
            "top1": top1,
            "health": health.to_dict(),
            "largest_top1": largest,
            "history": [{"epoch": number, "loss": loss} for number, loss in enumerate(history, 1)],
        }
        with atomic_path(run.supernet) as made:
            save_supernet(supernet.cpu(), made)  # first of all: if the disk is full, everything is as it was
            run.forget_search()
            run.forget_search_state()
            write_atomic(run.training, json.dumps(about, indent=1) + "\n")
            write_atomic(run.data, json.dumps(data.to_dict()) + "\n")
        # in its place only now: where it is, the rest is too
        run.training_state.unlink(missing_ok=True)
        inputs += [run.original] if settings.init else []
        about_images = {"images_left_out": sum(map(len, data.left_out.values()))}
        run.record("train", found, training.settled | about_images, inputs, [run.supernet, run.training, run.data])
        return Trained(run.supernet, recipe.epochs, depths, blocks, top1, health, largest)


def _readable(
    data: ImageData, settings: TrainSettings, ranks: Ranks, progress: Progress, deadline: Deadline
) -> ImageData:
    """The data, without what cannot be read if that was asked for. Raises FileError, which names it all, otherwise."""
    broken = ranks.on_first(lambda: find_broken(data, progress, lambda: deadline.check("all images were checked")))
    images = sum(len(getattr(data, name)) for name in ("train", "search", "test"))
    if broken and not settings.skip_broken:
        raise broken.refused(images)
    if broken:
        progress.note(
            f"left out: {len(broken)} of {images} images, which cannot be read; the first: {broken.problems[0]}"
        )
    return without(data, broken.indices)


def _kept_original(run: Run, source: str, space: SearchSpace, data: ImageData) -> Original:
    """The pretrained model with a classifier of the data's classes; as a plain model it is in the run from now on."""
    original = with_classifier(original_for(space, source), space, images_for_a_classifier(data))
    if Path(source) != run.original:
        save_model(*plain_model(original, space), run.original)
    return original


def _largest_top1(supernet: Supernet, data: ImageData, device: str, autocast: str | None) -> float:
    split = data.search.to(device)
    return subnet_accuracy(supernet.to(device).eval(), supernet.space.largest, split, autocast=autocast).top1


def _started_from(source: str, filled: Filled, supernet: Supernet) -> str:
    fresh = [*filled.fresh, *(["what only the right side uses"] if len(supernet.sides) > 1 else [])]
    said = {"sorted by": filled.sorted_by, "not used": ", ".join(filled.unused), "fresh": ", ".join(fresh)}
    rest = "".join(f"; {what}: {words}" for what, words in said.items() if words)
    return f"the supernet starts from {source}, its subnet {filled.subnet.digest}{rest}"


def warn_of_normalisation(source: str, data: ImageData, progress: Progress) -> None:
    """A model of timm's that was trained on images normalised in another way still works, but not as well."""
    known = timm.get_pretrained_cfg(source.partition(":")[0], allow_unregistered=True)
    ours = data.preprocessing
    if known is None or len(known.mean) != len(ours.mean):
        return
    if not np.allclose([*known.mean, *known.std], [*ours.mean, *ours.std], atol=0.01):
        progress.note(
            f"{source} expects images normalised by mean {known.mean} and std {known.std}; the data's are by"
            f" {ours.mean} and {ours.std}"
        )


def _depths(
    run: Run, space: SearchSpace, settings: TrainSettings, progress: Progress
) -> tuple[DepthShares, list[Path]]:
    """How often each depth is drawn, and the files that this was derived from."""
    budget, inputs, predictor = settings.budget, [], None
    if budget.latency_ms or budget.images_per_s:
        predictor, path = load_run_predictor(run)
        inputs.append(path)
        budget = budget.at_batch(predictor.target.batch_size)
    found = depth_shares(Costs(space, predictor), budget, how=settings.depths, seed=settings.seed)
    progress.note(described(found, budget))
    return found, inputs


def _mean_top1(supernet: Supernet, depths: Shares, training: Resumable) -> float:
    """Over ten subnets drawn as in training, on the search split. Raises TimeIsUpError."""
    space, split = supernet.space, training.data.search.to(training.device)
    codes = space.sample_codes(_SAMPLED, np.random.default_rng([training.settings.seed, 2]), depths)
    found = []
    with training.progress.step("evaluating random subnets", len(codes)) as advance:
        for code in codes:
            training.deadline.check("random subnets were evaluated")
            of_code = subnet_accuracy(
                supernet, space.decode(code), split, space.layers(code), autocast=training.recipe.autocast
            )
            found.append(of_code.top1)
            advance("")
    return float(np.mean(found))


def _health(supernet: Supernet, depths: Shares, training: Resumable, history: list[float]) -> Health:
    """See ``checkup``. Raises TimeIsUpError."""
    data, recipe, seed = training.data, training.recipe, training.settings.seed
    with training.progress.step("fitting a linear model, to compare with", 1) as advance:
        training.deadline.check("a linear model was fitted")
        baseline = baseline_of(data, seed=seed)
        advance("")
    return checkup(
        supernet,
        data.search.to(training.device),
        baseline,
        depths=depths,
        trained_images=recipe.epochs * len(data.train),
        history=history,
        seed=seed,
        deadline=training.deadline,
        autocast=recipe.autocast,
        progress=training.progress,
    )
