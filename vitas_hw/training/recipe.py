"""How long and how hard to train: plain data, checked when made."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.errors import invalid
from vitas_hw.core.settings import setting, settings
from vitas_hw.data.augmentation import Augmentation

_RECIPE = "Recipe (default: what suits the data)"


@settings
class Recipe:
    """AdamW with a cosine schedule, as the paper's (ViTAS section 4.1); everything after ``augmentation`` is off.

    Args:
        epochs: passes over the training images.
        batch_size: images an optimizer step, over all processes and accumulated batches.
        lr: peak learning rate.
        warmup_epochs: linear rise from lr / 100.
        weight_decay: on matrices only.
        label_smoothing: share of the target spread over all classes.
        clip_grad: largest norm of the gradient; None is any.
        augmentation: random changes of each image.
        mixup, cutmix: alpha of timm's Mixup; 0 is none.
        drop_path: stochastic depth of a plain model's last block; a supernet has none.
        sandwich: each step trains the largest, two random and the smallest subnet, all but the largest on its logits
            (sandwich rule with in-place distillation, BigNAS, arXiv 2003.11142, section 3.2).
        teacher_weight: share of the loss that a teacher's logits have, if there is one.
        ema: decay of an exponential moving average of the weights, which is then what training gives.
        accumulate: batches an optimizer step.
        autocast: ``bf16`` or ``fp16``.
    """

    epochs: int = setting(help="Passes over the images.", group=_RECIPE, at_least=1)
    batch_size: int = setting(help="Over all processes.", group=_RECIPE, at_least=1)
    lr: float = setting(help="Peak learning rate.", group=_RECIPE, above=0)
    warmup_epochs: int = setting(at_least=0)
    weight_decay: float = setting(default=0.05, at_least=0)
    label_smoothing: float = setting(default=0.1, at_least=0, below=1)
    clip_grad: float | None = setting(default=None, above=0)
    augmentation: Augmentation = Augmentation()  # frozen
    mixup: float = setting(default=0.0, at_least=0)
    cutmix: float = setting(default=0.0, at_least=0)
    drop_path: float = setting(default=0.0, help="Stochastic depth.", group=_RECIPE, at_least=0, below=1)
    sandwich: bool = setting(default=False, help="Largest, two random, smallest each step.", group=_RECIPE)
    teacher_weight: float = setting(default=0.5, at_least=0, at_most=1)
    ema: float | None = setting(default=None, help="Decay, for example 0.9998.", group=_RECIPE, above=0, below=1)
    accumulate: int = setting(default=1, help="Batches an optimizer step.", group=_RECIPE, at_least=1)
    autocast: str | None = setting(default=None, help="bf16 or fp16.", group=_RECIPE, choices=("bf16", "fp16"))

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise invalid("warmup_epochs", self.warmup_epochs, f"below the {self.epochs} epochs")
        if self.batch_size % self.accumulate:
            raise invalid("accumulate", self.accumulate, f"a divisor of the batch size {self.batch_size}")


def _warmup(epochs: int) -> int:
    return max(min(5, epochs - 1), 0)


def vitas_supernet(epochs: int = 300) -> Recipe:
    """The paper's supernet (section 4.1): weak augmentation, CutMix only, no stochastic depth."""
    return Recipe(
        epochs=epochs,
        batch_size=1024,
        lr=1e-3,
        warmup_epochs=_warmup(epochs),
        augmentation=Augmentation(crop_scale=(0.08, 1.0), hflip=0.5, erasing=0.25),
        cutmix=1.0,
    )


def digits_supernet(epochs: int = 70) -> Recipe:
    """The digits' supernet: minutes on two CPU cores.

    Without augmentation: in so few epochs the shared weights underfit (mean inherited top-1 of 20 small subnets after
    25 epochs: 0.86 without, 0.82 with).
    """
    return Recipe(epochs=epochs, batch_size=64, lr=1e-3, warmup_epochs=_warmup(epochs), clip_grad=1.0)


def fashion_supernet(epochs: int = 60) -> Recipe:
    """Fashion-MNIST's supernet: small gray images, which neither crops nor CutMix suit."""
    return Recipe(epochs=epochs, batch_size=128, lr=1e-3, warmup_epochs=_warmup(epochs), clip_grad=1.0)


def small_supernet(images: int, epochs: int | None = None) -> Recipe:
    """A few images of any kind: the digits' recipe, and as many steps whatever their number.

    Without augmentation too: whether the mirror image of a stranger's picture shows the same, nobody here knows.
    """
    fewest, most = _SMALL_EPOCHS
    usual = min(max(round(_SMALL_STEPS * _SMALL_BATCH / max(images, 1)), fewest), most)
    return digits_supernet(usual if epochs is None else epochs)


def supernet_recipe(data: str, images: int | None = None, epochs: int | None = None) -> Recipe:
    """The recipe that suits a data set: the paper's, except for the small ones.

    Args:
        data: as given to ``load_data``.
        images: to train on; None if that is not known yet: then as for many.
        epochs: None takes the recipe's own.
    """
    own = _OWN.get(data.partition(":")[0])
    if own is None and images is not None and images <= FEW_IMAGES:
        return small_supernet(images, epochs)
    recipe = own or vitas_supernet
    return recipe() if epochs is None else recipe(epochs)


def vitas_retraining(epochs: int = 300) -> Recipe:
    """The paper's training of one searched subnet (section 4.1): DeiT's augmentation (arXiv 2012.12877, table 9) and
    stochastic depth 0.1. DeiT also repeats each augmented image three times in an epoch; our loop does not.
    """
    return Recipe(
        epochs=epochs,
        batch_size=1024,
        lr=1e-3,
        warmup_epochs=_warmup(epochs),
        augmentation=Augmentation(crop_scale=(0.08, 1.0), hflip=0.5, auto_augment="rand-m9-mstd0.5-inc1", erasing=0.25),
        mixup=0.8,
        cutmix=1.0,
        drop_path=0.1,
    )


def retraining_recipe(
    data: str, images: int | None = None, epochs: int | None = None, *, inherits: bool = False
) -> Recipe:
    """The recipe for one subnet that suits a data set: the paper's; for small ones the supernet's with the
    slight changes of an image that the fine-tuning after a search makes.

    Args:
        data: as given to ``load_data``.
        images: to train on; None if that is not known yet: then as for many.
        epochs: None takes the recipe's own.
        inherits: it starts from the supernet's weights: a tenth of the epochs, and of their warm-up.
    """
    usual = vitas_retraining()
    if is_small(data, images):
        usual = replace(supernet_recipe(data, images), augmentation=_SLIGHT)
    if epochs is None:
        epochs = max(usual.epochs // _SHORTER, 1) if inherits else usual.epochs
    longest = max(usual.warmup_epochs // _SHORTER, 1) if inherits else usual.warmup_epochs
    return replace(usual, epochs=epochs, warmup_epochs=max(min(longest, epochs - 1), 0))


def is_small(data: str, images: int | None = None) -> bool:
    """Whether the recipe of a data set is one of those for small ones."""
    return data.partition(":")[0] in _OWN or (images is not None and images <= FEW_IMAGES)


FEW_IMAGES = 20_000  # up to here a training of minutes is proposed, not one of the paper's 300 epochs
_SMALL_STEPS, _SMALL_BATCH, _SMALL_EPOCHS = 1000, 64, (20, 200)
_OWN = {"digits": digits_supernet, "fashion-mnist": fashion_supernet}
_FINETUNE_MACS = 1.5e12  # forward and backward, about 25 s on two CPU cores
_FINETUNE_EPOCHS = (4, 20)
_BRIEF_MACS = 4 * _FINETUNE_MACS  # most work of other data sets: minutes
_SHORTER = 10  # times fewer epochs from the supernet's weights than from scratch
_SLIGHT = Augmentation(max_shift=0.08, max_rotation=8.0, max_scale=0.08)


def finetune_recipe(data: str, macs: int, images: int) -> Recipe | None:
    """A subnet of a small data set's supernet, from its weights: about the same work whatever its size.

    Args:
        data: as given to ``load_data``; None comes back for one whose fine-tuning is no matter of seconds.
        macs: of the subnet.
        images: to train on.
    """
    fewest, most = _FINETUNE_EPOCHS
    epoch_macs = 3 * macs * images  # backward costs twice the forward
    brief = data.partition(":")[0] in _OWN or (images <= FEW_IMAGES and fewest * epoch_macs <= _BRIEF_MACS)
    if not brief:
        return None
    epochs = min(max(round(_FINETUNE_MACS / epoch_macs), fewest), most)
    return Recipe(
        epochs=epochs,
        batch_size=128,
        lr=2e-3,
        warmup_epochs=2,
        clip_grad=1.0,
        augmentation=_SLIGHT,
    )
