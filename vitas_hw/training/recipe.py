"""How long, how hard and where to train: plain data, checked when made."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.errors import invalid
from vitas_hw.core.settings import setting, settings
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.options import RECIPE

AUTOCAST = ("bf16", "fp16", "fp32")
_WHERE = "Device and time"


@settings
class Recipe:
    """AdamW with a cosine schedule, as the paper's (ViTAS section 4.1); everything after ``augmentation`` is off.

    Args:
        epochs: passes over the training images.
        batch_size: images an optimizer step, over all processes and accumulated batches.
        lr: peak learning rate, for this batch size; see ``of_batch_size``.
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
        autocast: ``bf16``, ``fp16`` or ``fp32``; None is what suits the device, see ``training/precision.py``.
    """

    epochs: int = setting(help="Passes over the training images.", group=RECIPE, at_least=1)
    batch_size: int = setting(help="Global batch size, over all processes.", group=RECIPE, at_least=1)
    lr: float = setting(help="Peak learning rate. Default: scaled with the batch size.", group=RECIPE, above=0)
    warmup_epochs: int = setting(at_least=0)
    weight_decay: float = setting(default=0.05, at_least=0)
    label_smoothing: float = setting(default=0.1, at_least=0, below=1)
    clip_grad: float | None = setting(default=None, above=0)
    augmentation: Augmentation = Augmentation()  # frozen
    mixup: float = setting(default=0.0, at_least=0)
    cutmix: float = setting(default=0.0, at_least=0)
    drop_path: float = setting(default=0.0, help="Stochastic depth rate.", group=RECIPE, at_least=0, below=1)
    sandwich: bool = setting(
        default=False, help="Each step trains the largest, two random and the smallest subnet.", group=RECIPE
    )
    teacher_weight: float = setting(default=0.5, at_least=0, at_most=1)
    ema: float | None = setting(
        default=None, help="Average the weights (EMA) with this decay: 0.9998.", group=RECIPE, above=0, below=1
    )
    accumulate: int = setting(
        default=1, help="Gradient accumulation: batches per optimizer step.", group=RECIPE, at_least=1
    )
    autocast: str | None = setting(
        default=None,
        help="bf16, fp16, or fp32 (off). Default: bf16 if the GPU has it.",
        group=RECIPE,
        choices=AUTOCAST,
    )

    def __post_init__(self) -> None:
        if self.warmup_epochs >= self.epochs:
            raise invalid("warmup_epochs", self.warmup_epochs, f"below the {self.epochs} epochs")
        if self.batch_size % self.accumulate:
            raise invalid("accumulate", self.accumulate, f"a divisor of the batch size {self.batch_size}")


VITAS_SUPERNET = Recipe(
    epochs=300,
    batch_size=1024,
    lr=1e-3,
    warmup_epochs=5,
    augmentation=Augmentation(crop_scale=(0.08, 1.0), hflip=0.5, erasing=0.25),
    cutmix=1.0,
)
"""The paper's supernet (section 4.1): weak augmentation, CutMix only, no stochastic depth."""

DIGITS = Recipe(epochs=70, batch_size=64, lr=1e-3, warmup_epochs=5, clip_grad=1.0)
"""The digits' supernet: minutes on two CPU cores.

Without augmentation: in so few epochs the shared weights underfit (mean inherited top-1 of 20 small subnets after 25
epochs: 0.86 without, 0.82 with).
"""

FASHION = replace(DIGITS, epochs=60, batch_size=128)
"""Fashion-MNIST's supernet: small gray images, which neither crops nor CutMix suit."""

FEW_IMAGES = 20_000  # up to here a training of minutes is proposed, not one of the paper's 300 epochs
_SMALL_STEPS, _SMALL_EPOCHS = 3000, (40, 300)
# below it a supernet's images are slightly changed: of 2,000 the shared weights learn less so (one seed of a tiny
# supernet on Fashion-MNIST, mean inherited top-1: 1,000 steps 71.9%, 3,000 steps 76.9%, 3,000 with shifts 74.5%)
_CHANGED_BELOW = 1000
_OWN = {"digits": DIGITS, "fashion-mnist": FASHION}
_FINETUNE_MACS = 1.5e12  # forward and backward, about 25 s on two CPU cores
_FINETUNE_EPOCHS = (4, 20)
_BRIEF_MACS = 4 * _FINETUNE_MACS  # most work of other data sets: minutes
# of the supernet's epochs and rate where it starts from a trained model; see ``from_pretrained``
_HALF = 2
_SHORTER = 10  # times fewer epochs from the supernet's weights than from scratch
_ALONE = 2  # times the supernet's epochs for one subnet of few images, and their inverse from the supernet's weights
# not mirrored, cropped or erased: what is in a stranger's image may be a letter, small, or at its border
_SLIGHT = Augmentation(max_shift=0.08, max_rotation=8.0, max_scale=0.08)


def of_length(recipe: Recipe, epochs: int | None) -> Recipe:
    """The same over another number of epochs, with as much warm-up as fits in; None changes nothing."""
    if epochs is None:
        return recipe
    return replace(recipe, epochs=epochs, warmup_epochs=max(min(recipe.warmup_epochs, epochs - 1), 0))


def of_batch_size(recipe: Recipe, batch_size: int | None) -> Recipe:
    """The same in batches of another size, the learning rate scaled linearly with it (as AutoFormer and DeiT do); None
    changes nothing. Processes and accumulated batches share a batch, so they change no rate.
    """
    if batch_size is None:
        return recipe
    return replace(recipe, batch_size=batch_size, lr=recipe.lr * batch_size / recipe.batch_size)


def supernet_recipe(
    data: str, images: int | None = None, epochs: int | None = None, *, pretrained: bool = False
) -> Recipe:
    """The recipe that suits a data set: the paper's, except for the small ones.

    A few images of any kind are trained on in as many steps whatever their number, within bounds; below 1,000 of them
    slightly shifted, turned and scaled, never mirrored: nobody here knows whether the mirror image of a stranger's
    picture shows the same.

    Args:
        data: as given to ``load_data``.
        images: to train on; None if that is not known yet: then as for many.
        epochs: None takes the recipe's own.
        pretrained: it starts from a pretrained model, see ``from_pretrained``.
    """
    usual = _OWN.get(data.partition(":")[0], VITAS_SUPERNET)
    if usual == VITAS_SUPERNET and images is not None and images <= FEW_IMAGES:
        fewest, most = _SMALL_EPOCHS
        wanted = round(_SMALL_STEPS * DIGITS.batch_size / max(images, 1))
        usual = of_length(DIGITS, min(max(wanted, fewest), most))
        if images < _CHANGED_BELOW:
            usual = replace(usual, augmentation=_SLIGHT)
    return of_length(from_pretrained(usual) if pretrained else usual, epochs)


def from_pretrained(usual: Recipe) -> Recipe:
    """The same for a supernet whose largest subnet is a model that is trained already.

    Half of the learning rate, because what the model knows from other images must not be forgotten, and half of the
    epochs, of many images a tenth. One random subnet a step all the same, taught by the model: no sandwich, which at as
    many passes over the images is worse where a search looks.

    Measured once, on the digits, with a ViT of 97.2% that was trained on them; mean top-1 of 12 subnets of less than a
    third of its MACs, with inherited weights: rate 3e-4, a sandwich 88.0%, without 92.3%; 35 epochs without, rate 5e-4
    90.2%, 1e-3 93.4%; 68 epochs at 1e-3 95.9%. That model has nothing to forget: where yours has not either, give the
    usual rate.
    """
    shorter = _SHORTER if usual in (VITAS_SUPERNET, FASHION) else _HALF
    return replace(of_length(usual, max(usual.epochs // shorter, 2)), lr=usual.lr / _HALF, warmup_epochs=1)


def vitas_retraining() -> Recipe:
    """The paper's training of one searched subnet (section 4.1): DeiT's augmentation (arXiv 2012.12877, table 9) and
    stochastic depth 0.1. DeiT also repeats each augmented image three times in an epoch; our loop does not: it pays in
    hundreds of epochs, which nothing here can measure.
    """
    strong = replace(VITAS_SUPERNET.augmentation, auto_augment="rand-m9-mstd0.5-inc1")  # checked by timm: not on import
    return replace(VITAS_SUPERNET, augmentation=strong, mixup=0.8, drop_path=0.1)


def retraining_recipe(
    data: str, images: int | None = None, epochs: int | None = None, *, inherits: bool = False
) -> Recipe:
    """The recipe for one subnet that suits a data set: the paper's; for small ones the supernet's with the slight
    changes of an image that the fine-tuning after a search makes.

    Of few images, twice the supernet's epochs, or from its weights half of them, but at least twice as many as the
    longest fine-tuning after a search: it would otherwise be no better than that. Of many images, as many epochs, or
    from the supernet's weights a tenth, and a tenth of their warm-up.

    Args:
        data: as given to ``load_data``.
        images: to train on; None if that is not known yet: then as for many.
        epochs: None takes the recipe's own.
        inherits: it starts from the supernet's weights.
    """
    usual = supernet_recipe(data, images)
    few = usual not in (VITAS_SUPERNET, FASHION)
    usual = vitas_retraining() if usual == VITAS_SUPERNET else replace(usual, augmentation=_SLIGHT)
    own = usual.epochs * (_ALONE if few else 1)
    if inherits:
        own = max(usual.epochs // _ALONE, 2 * _FINETUNE_EPOCHS[1]) if few else usual.epochs // _SHORTER
        usual = replace(usual, warmup_epochs=max(usual.warmup_epochs // _SHORTER, 1))
    return of_length(usual, own if epochs is None else epochs)


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
    return replace(FASHION, epochs=epochs, lr=2e-3, warmup_epochs=2, augmentation=_SLIGHT)


@settings
class Runtime:
    """How a training runs, none of which changes what it computes beyond rounding (but workers reorder a stream).

    Args:
        device: torch's name.
        workers: processes that decode images.
        threads: of the CPU that compute; None takes what suits the net, see ``threads_for``.
        compile: whether ``torch.compile`` is used.
        deterministic: whether the same seed gives the same bits on a GPU too: slower algorithms, see
            ``training/precision.py``. A CPU's always do.
        save_every_s: seconds between two checkpoints.
    """

    device: str = setting(default="cpu", help="cpu, cuda, cuda:1, mps; auto: a GPU if any.", group=_WHERE, runs=True)
    workers: int = setting(default=0, help="Data loading processes.", group=_WHERE, at_least=0, runs=True)
    threads: int | None = setting(
        default=None, help="CPU threads. Default: by the MACs of a batch.", group=_WHERE, at_least=1, runs=True
    )
    compile: bool = setting(default=False, help="Use torch.compile.", group=_WHERE, runs=True)
    deterministic: bool = setting(default=False, help="Bit-identical repeats, on GPUs too.", group=_WHERE, runs=True)
    save_every_s: float = setting(default=60.0, at_least=0, runs=True)
