from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.training.data import ImageData, load_data
from vitas_hw.training.loop import subnet_top1, top1, train_model, train_supernet
from vitas_hw.training.recipe import Recipe, digits_finetune

QUICK = Recipe(epochs=3, batch_size=64, lr=2e-3, warmup_epochs=1)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", preset("vitas-digits"))


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
    step = data.train.subset(range(8))
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
    broken = replace(data.train, preprocessing=replace(data.preprocessing, mean=(float("nan"),)))
    with pytest.raises(VitasError, match="loss became nan in epoch 1"):
        train_supernet(build_supernet(small, seed=0), broken, QUICK, p_identity=0.5, seed=0)


def test_top1_counts(data: ImageData) -> None:
    assert top1(lambda images: torch.eye(10)[torch.zeros(len(images), dtype=torch.int64)], data.test) == pytest.approx(
        float((data.test.labels == 0).float().mean())
    )


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
