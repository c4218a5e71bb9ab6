from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.training.data import ImageData, load_data
from vitas_hw.training.loop import augment, subnet_top1, top1, train_model, train_supernet
from vitas_hw.training.recipe import Recipe, digits_finetune, digits_supernet

QUICK = Recipe(epochs=3, batch_size=64, lr=2e-3, warmup_epochs=1)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", preset("vitas-digits"))


def test_the_parts_are_disjoint_complete_and_stratified(data: ImageData) -> None:
    parts = [data.train, data.search, data.test]
    indices = [index for part in parts for index in part.indices]
    assert sorted(indices) == list(range(1797))
    assert [len(part) for part in parts] == [1077, 360, 360]
    for part in parts:
        assert part.images.shape[1:] == (1, 32, 32)
        shares = torch.bincount(part.labels, minlength=10) / len(part)
        assert (shares - 0.1).abs().max() < 0.02


def test_the_images_are_the_sources_in_its_order(data: ImageData) -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    for part in (data.train, data.search, data.test):
        assert part.labels.tolist() == source.target[list(part.indices)].tolist()
        small = torch.nn.functional.avg_pool2d(part.images[:20], 4).flatten(1)
        original = torch.from_numpy(source.images[list(part.indices)[:20]]).flatten(1)
        for ours, theirs in zip(small, original, strict=True):
            assert torch.corrcoef(torch.stack([ours.double(), theirs]))[0, 1] > 0.95
    assert float(data.train.images.min()) == -1.0
    assert float(data.train.images.max()) == 1.0


def test_data_that_does_not_fit_the_space_is_refused(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="Known: digits"):
        load_data("imagenet", small)
    with pytest.raises(InputError, match="1 channel and 10 classes"):
        load_data("digits", preset("vitas-deit-tiny"))


def test_training_a_supernet_learns_and_repeats(small: SearchSpace, data: ImageData) -> None:
    def once() -> tuple[list[float], float]:
        supernet = build_supernet(small, seed=0)
        history = train_supernet(supernet, data.train, replace(QUICK, epochs=8), p_identity=0.3, seed=1)
        assert not supernet.training
        return [epoch.loss for epoch in history], subnet_top1(supernet, small.largest, data.search)

    losses, accuracy = once()
    assert losses[-1] < losses[0]
    assert accuracy > 0.2  # chance is 0.1
    assert (losses, accuracy) == once()


def test_a_step_changes_only_the_weights_the_subnet_uses(small: SearchSpace, data: ImageData) -> None:
    supernet = build_supernet(small, seed=0)
    before = {name: weight.clone() for name, weight in supernet.state_dict().items()}
    step = replace(data.train, images=data.train.images[:8], labels=data.train.labels[:8], indices=tuple(range(8)))
    train_supernet(supernet, step, replace(QUICK, epochs=1, warmup_epochs=0), p_identity=1.0, seed=0)
    changed = {name for name, weight in supernet.state_dict().items() if not torch.equal(weight, before[name])}
    assert any(name.startswith("blocks.0.") for name in changed)
    assert not any(name.startswith(("blocks.1.", "blocks.2.", "blocks.3.")) for name in changed)


def test_training_a_plain_model_learns(small: SearchSpace, data: ImageData) -> None:
    model = build_model(small.sample(1), seed=0)
    before = top1(model.eval(), data.search)
    train_model(model, data.train, replace(QUICK, epochs=8), seed=0)
    assert top1(model, data.search) > max(before, 0.3)


def test_a_loss_that_is_no_number_stops_in_one_sentence(small: SearchSpace, data: ImageData) -> None:
    broken = replace(data.train, images=data.train.images * float("nan"))
    with pytest.raises(VitasError, match="loss became nan in epoch 1"):
        train_supernet(build_supernet(small, seed=0), broken, QUICK, p_identity=0.5, seed=0)


def test_top1_counts(data: ImageData) -> None:
    assert top1(lambda images: torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)], data.test) == pytest.approx(
        float((data.test.labels == 0).float().mean())
    )


def test_augmentation_is_bounded_repeats_and_can_be_off(data: ImageData) -> None:
    images = data.train.images[:16]
    recipe = digits_finetune(macs=10**7, images=1077)
    first = augment(images, recipe, torch.Generator().manual_seed(0))
    second = augment(images, recipe, torch.Generator().manual_seed(0))
    assert torch.equal(first, second)
    assert not torch.equal(first[0] - first[1], images[0] - images[1])
    assert first.amin() >= images.amin() - 1e-5
    assert first.amax() <= images.amax() + 1e-5
    # at most three pixels, eight degrees and 8% away: a blurred copy stays close
    blur = torch.nn.functional.avg_pool2d
    similarity = np.corrcoef(blur(first, 8).flatten(), blur(images, 8).flatten())[0, 1]
    assert similarity > 0.85
    assert augment(images, digits_supernet(), torch.Generator()) is images


def test_fine_tuning_is_as_much_work_for_a_large_subnet() -> None:
    epochs = [digits_finetune(macs, 1077).epochs for macs in (10**6, 30 * 10**6, 60 * 10**6, 10**9)]
    assert epochs == [20, 15, 8, 4]


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"batch_size": 0}, {"warmup_epochs": 3}, {"lr": 0.0}, {"label_smoothing": 1.0}, {"clip_grad": 0.0}],
)
def test_an_impossible_recipe_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        replace(QUICK, **change)
