"""Training a supernet without a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitas_hw.api.told import told
from vitas_hw.core import SILENT, Deadline, InputError, Progress, Shares, TimeAllowed
from vitas_hw.core.settings import setting, settings, shared
from vitas_hw.training import Recipe, Runtime
from vitas_hw.workflows.train.settings import TrainingSettings, TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from vitas_hw.data import ImageData
    from vitas_hw.supernet import Supernet


@settings
class TrainingAlone:
    """Of ``train_supernet``; None takes what suits the data."""

    supernet: Supernet = setting(help="the supernet to train, in place.", kw_only=False)
    data: ImageData = setting(help="images for its space; the train split is used.", kw_only=False)
    epochs: int | None = setting(default=None, like=Recipe)
    batch_size: int | None = setting(default=None, like=Recipe)
    lr: float | None = setting(default=None, like=Recipe)
    ema: float | None = setting(default=None, like=Recipe)
    autocast: str | None = setting(default=None, like=Recipe)
    sandwich: bool = setting(default=False, like=Recipe)
    depths: Shares | None = setting(
        default=None, help="share of each depth in the draws, from the fewest blocks to the most. Default: equal."
    )
    teacher: nn.Module | None = setting(default=None, help="teacher for distillation: a module from images to logits.")
    device: str = setting(default="auto", like=TrainingSettings)
    workers: int = setting(default=0, like=Runtime)
    threads: int | None = setting(default=None, like=Runtime)
    max_time_s: float | None = setting(default=None, like=TimeAllowed)
    progress: Progress = setting(default=SILENT, help="a ``Reporter`` shows progress on stderr. Default: silent.")
    seed: int = setting(default=0, like=TrainSettings)


@told(TrainingAlone)
def train_supernet(asked: TrainingAlone) -> Sequence[float]:
    """Train a supernet in place, as ``Run.train`` does, but without checkpoints: it cannot be resumed.

    Returns: the mean loss of each epoch; fewer epochs if ``max_time_s`` ended the training. Afterwards the supernet is
        on the CPU and in evaluation mode.

    Raises:
        InputError: images or classes that do not fit the supernet, or settings that exclude each other.
        VitasError: the loss became infinite or NaN.

    Example:
        >>> space = vh.load_space("small.yaml")
        >>> supernet = vh.build_supernet(space, seed=0)
        >>> losses = vh.train_supernet(supernet, vh.load_data("digits", space), epochs=2)
        >>> losses[1] < losses[0]
        True
    """
    from vitas_hw.training import Ranks, State, SupernetObjective, Training, on_device, pick_device, working_threads
    from vitas_hw.workflows.train.resumable import following

    supernet, data = asked.supernet, asked.data
    _check_images(data, supernet)
    wanted = TrainSettings(data=data.name, **shared(asked, Recipe))
    recipe, device = wanted.recipe(len(data.train)), pick_device(asked.device, Ranks())
    objective = SupernetObjective(supernet, recipe, depths=asked.depths, teacher=on_device(asked.teacher, device))
    with working_threads(asked.threads, supernet.space, recipe.batch_size, device, asked.workers):
        training = Training(
            objective,
            data.train,
            recipe,
            seed=asked.seed,
            num_classes=len(data.class_names),
            runtime=Runtime(**(shared(asked, Runtime) | {"device": device})),
            deadline=Deadline.after(asked.max_time_s),
        )
        state = State()
        with following(training, f"training the supernet on {data.name}", state, asked.progress):
            training.run(state)
    supernet.cpu().eval()
    return tuple(state.history)


def _check_images(data: ImageData, supernet: Supernet) -> None:
    """Raises InputError unless the data are of the supernet's images and classes."""
    space, how = supernet.space, data.preprocessing
    ours = (space.in_chans, *space.image_size, space.num_classes)
    theirs = (how.channels, *how.image_size, len(data.class_names))
    if ours != theirs:
        wanted, given = ("{} x {} x {} in {} classes".format(*one) for one in (ours, theirs))
        raise InputError(
            f"The supernet takes images of {wanted}; the data have {given}.",
            "Load the data for the supernet's own space: load_data(name, supernet.space).",
            field="data",
        )
