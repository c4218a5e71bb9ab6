"""The recipes of single subnets, and what all trainings are told alike."""

from __future__ import annotations

from dataclasses import fields

import pytest

from vitas_hw.core.errors import InputError
from vitas_hw.core.settings import what_decides
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.training.recipe import FEW_IMAGES, Recipe, finetune_recipe, supernet_recipe
from vitas_hw.workflows.train.settings import RetrainSettings, TrainingSettings, TrainSettings


def test_from_scratch_is_the_papers_recipe() -> None:
    # ViTAS section 4.1: 300 epochs of AdamW, batch 1024, lr 1e-3, weight decay 0.05, drop-path 0.1, DeiT's augmentation
    recipe = RetrainSettings().recipe("folder:photos")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.warmup_epochs) == (300, 1024, 1e-3, 5)
    assert (recipe.weight_decay, recipe.drop_path, recipe.label_smoothing) == (0.05, 0.1, 0.1)
    assert (recipe.mixup, recipe.cutmix, recipe.ema, recipe.clip_grad) == (0.8, 1.0, None, None)
    deit = {"crop_scale": (0.08, 1.0), "hflip": 0.5, "auto_augment": "rand-m9-mstd0.5-inc1", "erasing": 0.25}
    assert recipe.augmentation == Augmentation(**deit)  # type: ignore[arg-type]


@pytest.mark.parametrize(("data", "epochs"), [("folder:photos", 30), ("fashion-mnist:there", 6)])
def test_the_supernets_weights_need_a_tenth_of_the_epochs(data: str, epochs: int) -> None:
    recipe = RetrainSettings(init="supernet").recipe(data)
    assert (recipe.epochs, recipe.warmup_epochs) == (epochs, 1)
    assert 10 * recipe.epochs == RetrainSettings().recipe(data).epochs
    assert RetrainSettings(init="supernet", epochs=1).recipe(data).warmup_epochs == 0


@pytest.mark.parametrize("images", [1, 300, 500, 2000, 10_000, FEW_IMAGES])
@pytest.mark.parametrize("data", ["digits", "folder:photos"])
def test_retraining_on_few_images_is_longer_than_the_fine_tuning_after_a_search(data: str, images: int) -> None:
    """It once ended, "to its full accuracy", after the supernet's epochs, or 2 from its weights."""
    supernets = supernet_recipe(data, images)
    fresh, inherits = (RetrainSettings(init=init).recipe(data, images) for init in ("fresh", "supernet"))
    assert fresh.epochs == 2 * supernets.epochs
    assert supernets.epochs / 2 <= inherits.epochs < fresh.epochs
    longest = max(
        tuned.epochs for macs in (10**5, 10**6, 10**8) if (tuned := finetune_recipe(data, macs, images)) is not None
    )
    assert inherits.epochs >= 2 * longest
    assert inherits.warmup_epochs == 1
    assert RetrainSettings(init="supernet", epochs=3).recipe(data, images).epochs == 3


@pytest.mark.parametrize(
    ("data", "images", "epochs", "lr"),
    [
        ("digits", None, 35, 5e-4),
        ("fashion-mnist", None, 6, 5e-4),
        ("folder:p", 300, 150, 5e-4),
        ("folder:p", FEW_IMAGES + 1, 30, 5e-4),
    ],
)
def test_a_pretrained_start_is_shorter_and_gentler(data: str, images: int | None, epochs: int, lr: float) -> None:
    recipe = TrainSettings(data=data, init="deit_tiny_patch16_224").recipe(images)
    assert (recipe.epochs, recipe.lr, recipe.warmup_epochs) == (epochs, lr, 1)
    asked = TrainSettings(data=data, init="deit_tiny_patch16_224", epochs=7, lr=0.01, sandwich=True).recipe(images)
    assert (asked.epochs, asked.lr, asked.sandwich) == (7, 0.01, True)
    assert TrainSettings(data=data, init="deit_tiny_patch16_224", epochs=1).recipe(images).warmup_epochs == 0


def test_small_images_keep_the_supernets_recipe_but_for_slight_changes() -> None:
    recipe, usual = RetrainSettings().recipe("digits"), supernet_recipe("digits")
    differing = {f.name for f in fields(recipe) if getattr(recipe, f.name) != getattr(usual, f.name)}
    assert differing == {"augmentation", "epochs"}


CHANGES = {"batch_size": 32, "lr": 0.5, "ema": 0.9, "accumulate": 4, "autocast": "bf16", "epochs": 3}


@pytest.mark.parametrize("kind", [TrainSettings, RetrainSettings])
def test_what_is_asked_for_replaces_the_recipes(kind: type[TrainSettings] | type[RetrainSettings]) -> None:
    changed = kind(data="digits", **CHANGES)  # type: ignore[arg-type]
    recipe = changed.recipe() if isinstance(changed, TrainSettings) else changed.recipe("digits")
    assert {name: getattr(recipe, name) for name in CHANGES} == CHANGES
    told = what_decides(changed)
    where = {"device", "workers", "threads", "compile", "deterministic", "max_time_s", "save_every_s", "log"}
    assert not where & set(told)
    assert set(told) | where == {f.name for f in fields(kind)}
    for wrong, field, allowed in (
        ({"workers": -1}, "workers", "at least 0"),
        ({"max_time_s": 0.0}, "max_time_s", "above 0"),
        ({"epochs": 0}, "epochs", "at least 1"),
        ({"accumulate": 3, "batch_size": 32}, "accumulate", "a divisor of the batch size 32"),
    ):
        with pytest.raises(InputError) as caught:
            kind(**wrong)  # type: ignore[arg-type]
        assert (caught.value.field, caught.value.value, caught.value.allowed) == (field, wrong[field], allowed)
    assert RetrainSettings(drop_path=0.3).recipe("digits").drop_path == 0.3


@pytest.mark.parametrize(
    ("data", "usual_batch", "usual_lr"), [("digits", 64, 1e-3), ("fashion-mnist", 128, 1e-3), ("folder:p", 1024, 1e-3)]
)
def test_the_rate_grows_with_the_batch_unless_it_was_given(data: str, usual_batch: int, usual_lr: float) -> None:
    def recipe(**asked: float) -> Recipe:
        return TrainSettings(data=data, **asked).recipe()  # type: ignore[arg-type]

    assert (recipe().batch_size, recipe().lr) == (usual_batch, usual_lr)
    assert recipe(batch_size=2 * usual_batch).lr == pytest.approx(2 * usual_lr)  # AutoFormer's linear rule
    assert recipe(batch_size=usual_batch // 4).lr == pytest.approx(usual_lr / 4)
    assert recipe(batch_size=2 * usual_batch, lr=5e-4).lr == 5e-4
    # a batch is one of all processes and of all that is accumulated: cutting it up changes no rate
    assert recipe(accumulate=4).lr == usual_lr
    assert recipe(accumulate=4, batch_size=usual_batch).lr == usual_lr
    retrained = RetrainSettings(batch_size=2 * usual_batch)
    assert retrained.recipe(data).lr == pytest.approx(2 * RetrainSettings().recipe(data).lr)


def test_where_it_runs_is_what_was_asked_and_the_device_that_was_found() -> None:
    runtime = TrainingSettings(device="auto", workers=2).runtime("cuda:1")
    assert (runtime.device, runtime.workers) == ("cuda:1", 2)
