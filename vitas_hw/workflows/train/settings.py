"""What a training is told: of a supernet (``train``) or of one subnet (``retrain``)."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.budget import Budget
from vitas_hw.core.deadline import TimeAllowed
from vitas_hw.core.settings import setting, settings, shared
from vitas_hw.data.options import RECIPE, DataOptions
from vitas_hw.runs.directory import DEFAULT_DATA
from vitas_hw.searching.depth_shares import DEPTHS
from vitas_hw.supernet.options import DEFAULT_SHARING, PRIVATE, SHARING, check_private
from vitas_hw.training.callbacks import read_logs
from vitas_hw.training.recipe import Recipe, Runtime, of_batch_size, retraining_recipe, supernet_recipe

INITS = ("fresh", "supernet")
NO_TEACHER = "none"
_WHERE = "Device and time"


def _parts(text: str) -> tuple[str, ...]:
    """Private parts as they are typed: names with commas between them, or ``none``."""
    return tuple(part for part in text.split(",") if part and text != "none")


@settings
class TrainingSettings:
    """What every training is told; None takes what suits the data.

    Args:
        epochs, batch_size, lr, ema, accumulate, autocast: see ``Recipe``.
        teacher: see ``load_teacher``; ``none`` where there would be one.
        seed: of weights, subnets, order and augmentation.
        device, workers, threads, compile, deterministic, save_every_s: see ``Runtime``; ``auto`` takes a GPU if there
            is one.
        max_time_s: see ``TimeAllowed``.
        log: names of ``LOGS``; None is TensorBoard where it is installed.
    """

    epochs: int | None = setting(default=None, like=Recipe)
    batch_size: int | None = setting(default=None, like=Recipe)
    lr: float | None = setting(default=None, like=Recipe)
    ema: float | None = setting(default=None, like=Recipe)
    accumulate: int = setting(default=1, like=Recipe, study=True)
    autocast: str | None = setting(default=None, like=Recipe)
    teacher: str | None = setting(
        default=None, help="Teacher for distillation: a timm name, NAME:FILE, none.", group=RECIPE
    )
    device: str = setting(default="auto", like=Runtime)
    workers: int = setting(default=0, like=Runtime)
    threads: int | None = setting(default=None, like=Runtime)
    compile: bool = setting(default=False, like=Runtime)
    deterministic: bool = setting(default=False, like=Runtime)
    max_time_s: float | None = setting(default=None, like=TimeAllowed)
    save_every_s: float = setting(default=60.0, like=Runtime)
    log: tuple[str, ...] | None = setting(
        default=None,
        help="tensorboard (default if installed), mlflow, wandb, none.",
        group=_WHERE,
        reads=read_logs,
        runs=True,
    )
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)

    def changed(self, usual: Recipe) -> Recipe:
        """A recipe of the wanted length with whatever else was asked for; a rate that was not follows the batch."""
        asked = {name: value for name, value in shared(self, Recipe).items() if name not in ("epochs", "batch_size")}
        scaled = of_batch_size(usual, self.batch_size)
        return replace(scaled, **asked)

    def runtime(self, device: str) -> Runtime:
        """How the training runs on ``device``."""
        return Runtime(**(shared(self, Runtime) | {"device": device}))


@settings
class TrainSettings(DataOptions, TrainingSettings):
    """How to train a supernet: what every training is told, which images are in which part, and this.

    Args:
        data: see ``load_data``.
        sharing: weight-sharing scheme.
        private: which parts are private, see ``build_supernet``.
        budget: sampled subnets cost this much in the mean, by how often each depth is drawn. A latency needs the run's
            predictor.
        depths: how their depths are drawn, see ``depth_shares``.
        sandwich: see ``Recipe``.
        skip_broken: train without the images that cannot be read, instead of naming them and ending.
        init: a pretrained ViT that the supernet starts from, see ``load_original``. The recipe is then that of
            ``from_pretrained``, and the model is the teacher unless another is named, or ``none``.
    """

    data: str = setting(default=DEFAULT_DATA, help="Images: digits, folder:PATH, hfds/NAME ...")
    sharing: str = setting(
        default=DEFAULT_SHARING,
        help="Weight sharing: ordinal, bilateral or cyclic.",
        group=RECIPE,
        choices=SHARING,
    )
    private: tuple[str, ...] = setting(
        default=PRIVATE,
        help="Weights not shared: patch_embed,cls_token,pos_embed,qk, or none.",
        study=True,
        reads=_parts,
    )
    budget: Budget = Budget()  # frozen
    depths: str = setting(
        default="uniform",
        help="How depths are sampled: uniform, or identity, as in the paper.",
        study=True,
        choices=DEPTHS,
    )
    sandwich: bool = setting(default=False, like=Recipe, study=True)
    skip_broken: bool = setting(default=False, help="Leave out images that cannot be read.", group=RECIPE)
    init: str | None = setting(
        default=None, help="Start from a pretrained ViT: a timm name, NAME:FILE, a folder.", group=RECIPE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_private(self.private)
        self.recipe()  # what is impossible for any number of images ends here

    def recipe(self, images: int | None = None) -> Recipe:
        """The recipe for the data, of so many training images, with what was asked for instead.

        Raises InputError if they do not fit together.
        """
        return self.changed(supernet_recipe(self.data, images, self.epochs, pretrained=self.init is not None))


@settings
class RetrainSettings(TrainingSettings):
    """How to train one subnet: what every training is told, and this.

    Args:
        init: ``fresh`` weights, or those of the run's ``supernet``, with fewer epochs.
        teacher: also ``supernet``, its largest subnet. None is the pretrained model that the supernet started from, if
            it did; ``none`` is none.
        data: of a subnet outside of the run; None is the run's.
        drop_path: see ``Recipe``.
    """

    init: str = setting(
        default="fresh", help="Start from fresh weights, or the supernet's (fewer epochs).", choices=INITS
    )
    teacher: str | None = setting(
        default=None, help="Teacher for distillation: supernet, a timm name, NAME:FILE, none."
    )
    data: str | None = setting(default=None, help="Images to train on. Default: the run's.")
    drop_path: float | None = setting(default=None, like=Recipe)

    def __post_init__(self) -> None:
        self.recipe(self.data or DEFAULT_DATA)

    def recipe(self, data: str, images: int | None = None) -> Recipe:
        """The recipe for a data set by name, of so many training images, with what was asked for instead."""
        return self.changed(retraining_recipe(data, images, self.epochs, inherits=self.init == "supernet"))
