"""Training one subnet to its full accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.runs.artifacts import load_run_supernet, read_health, run_original
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.runs.subnets import Chosen, choose, data_for
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.supernet.weights_file import save_model, subnet_of
from vitas_hw.training.callbacks import About, Callback, Callbacks, check_installed
from vitas_hw.training.distributed import joined
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.recipe import Recipe
from vitas_hw.training.teacher import load_teacher, on_device
from vitas_hw.training.threads import working_threads
from vitas_hw.workflows.train.resumable import Resumable
from vitas_hw.workflows.train.settings import NO_TEACHER, RetrainSettings


@dataclass(frozen=True)
class Retrained(Tabular):
    """A retrained subnet, or how far it got.

    Args:
        path: its weights, or the checkpoint if time ran out.
        epochs: finished.
        top1: on the search split, None if time ran out.
        inherited_top1: before, with the supernet's weights; None if it began with fresh ones.
    """

    path: Path
    subnet: Subnet
    epochs: int
    top1: float | None
    inherited_top1: float | None

    def to_dicts(self) -> list[dict[str, Cell]]:
        """One row."""
        found: dict[str, Cell] = {"digest": self.subnet.digest, "path": str(self.path), "epochs": self.epochs}
        return [found | {"top1": self.top1, "inherited_top1": self.inherited_top1}]


@one_at_a_time
def retrain(
    run: Run,
    settings: RetrainSettings = RetrainSettings(),  # noqa: B008  # frozen
    *,
    subnet: str | None = None,
    rank: int | None = None,
    output: Path | None = None,
    fresh: bool = False,
    deadline: Deadline | None = None,
    callbacks: Sequence[Callback] = (),
    progress: Progress = SILENT,
) -> Retrained:
    """Train a subnet on the train part of the data; under torchrun every process calls this.

    A retraining that was killed goes on from its last checkpoint. One from the supernet's weights never ends
    below them: if the search split says that they were better, they are what is kept.

    Args:
        run: where files go, whose choice, supernet and data.
        settings: start, teacher, recipe, device.
        subnet, rank: see ``choose``; None is the last search's choice.
        output: the weights' file; None is the run's own place, from which ``export`` takes a retrained choice.
        fresh: forget an unfinished retraining.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        callbacks: told of each epoch, beside what ``settings.log`` names.
        progress: where to report to.

    Raises:
        InputError: there is no such subnet, no data for it, no supernet to start from, or an unfinished
            retraining had other settings.
        VitasError: the loss is no longer finite, or a checkpoint could not be written.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    if output is not None and not output.parent.is_dir():
        raise InputError(
            f"The folder {output.parent} does not exist.", f"Run: mkdir -p {output.parent}", field="output"
        )
    with joined(settings.device) as (ranks, device), ExitStack() as stack:
        report = progress if ranks.first else SILENT
        chosen = choose(run, subnet, rank=rank, seed=settings.seed)
        data = data_for(run, chosen.subnet, settings.data)
        if data is None:
            raise InputError(
                f"No images are known that fit {chosen.name}.",
                "Name some: `data=folder:PATH`.",
                field="data",
            )
        recipe = settings.recipe(data.name, len(data.train))
        at_once = recipe.batch_size // recipe.accumulate // ranks.world
        stack.enter_context(working_threads(settings.threads, chosen.subnet, at_once, device, settings.workers))
        model = _start(chosen, settings, recipe)
        original = _original_for(run, chosen.subnet)
        teacher = _teacher(run, settings.teacher or original, chosen.subnet)
        if settings.teacher == "supernet" and (health := read_health(run)) and health.largest_is_worse:
            report.note(
                "the teacher, the supernet's largest subnet, does worse than its smallest: leave the teacher out, or"
                " train the supernet for longer first"
            )
        training = Resumable(
            what="the subnet",
            settings=settings,
            recipe=recipe,
            data=data,
            device=device,
            ranks=ranks,
            checkpoint=run.retraining_state,
            about={"subnet": chosen.subnet.to_dict(), "data": data.name}
            | ({} if original is None else {"original": file_sha256(Path(original))}),
            progress=report,
            deadline=deadline,
        )
        state = training.state(fresh=fresh)
        search = data.search.to(device)
        before = None
        if settings.init == "supernet":
            before = accuracy(model.to(device).eval(), search, autocast=recipe.autocast).top1
            report.note(f"inherited top-1 on the search split: {before:.2%}")
        inherited = {name: weight.clone() for name, weight in model.state_dict().items()}
        check_installed(settings.log or ())
        log = None
        if ranks.first:
            about_log = About("retrain", run.path.resolve().name, run.path, training.settled, state.begun)
            log = stack.enter_context(closing(Callbacks(settings.log, callbacks, about_log, report)))
        history = training.run(ModelObjective(model, recipe, teacher=on_device(teacher, device)), state, log)
        if history is None:
            training.tell_stopped()
            return Retrained(run.retraining_state, chosen.subnet, state.epoch, None, before)
        if deadline.over():  # the checkpoint holds the last step: only the evaluation is left
            training.tell_stopped()
            return Retrained(run.retraining_state, chosen.subnet, state.epoch, None, before)
        top1 = accuracy(model, search, autocast=recipe.autocast).top1
        if log is not None:
            log.metrics({"search/top1": top1}, recipe.epochs)
        if before is not None and top1 < before:
            report.note(f"training ended at {top1:.2%}, below the inherited weights, which are kept")
            model.load_state_dict(inherited)
            top1 = before
        path = output or run.retrained
        if ranks.first:
            save_model(model.cpu(), chosen.subnet, path)
            run.retraining_state.unlink(missing_ok=True)
            if run.manifest.exists():
                steps = training.settled | {"top1": top1, "history": history}
                inputs = [*chosen.inputs, *([] if original is None else [Path(original)])]
                run.record("retrain", run.space(None), steps, inputs, [path])
        return Retrained(path, chosen.subnet, recipe.epochs, top1, before)


def _start(chosen: Chosen, settings: RetrainSettings, recipe: Recipe) -> VisionTransformer:
    """A model to train, its stochastic depth set."""
    model = build_model(chosen.subnet, seed=settings.seed, drop_path_rate=recipe.drop_path)
    if settings.init == "fresh":
        return model
    inherited = chosen.extracted()
    if inherited is None:
        raise InputError(
            f"{chosen.name} is not in the supernet of this run.",
            "Begin with fresh weights: `init=fresh`.",
            field="init",
        )
    model.load_state_dict(inherited.state_dict())
    return model


class _LargestSubnet(nn.Module):
    """A supernet as a teacher."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self._supernet = supernet

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._supernet(images, self._supernet.space.largest)
        return logits


def _original_for(run: Run, subnet: Subnet) -> str | None:
    """The file of the pretrained model that the supernet began as, if it takes the subnet's images and classes."""
    path = run_original(run)
    if path is None:
        return None
    ours, its = ((one.image_size, one.in_chans, one.num_classes) for one in (subnet, subnet_of(path)))
    return str(path) if ours == its else None


def _teacher(run: Run, source: str | None, subnet: Subnet) -> nn.Module | None:
    if source in (None, NO_TEACHER):
        return None
    if source != "supernet":
        return load_teacher(source, subnet)
    supernet = load_run_supernet(run)
    ours, theirs = ((one.image_size, one.in_chans, one.num_classes) for one in (subnet, supernet.space))
    if ours != theirs:
        raise InputError(
            "The run's supernet takes other images or classes.", "Name a teacher that timm knows.", field="teacher"
        )
    return _LargestSubnet(supernet).requires_grad_(False)
