"""What trivial classifiers reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitas_hw.core.presets import preset
from vitas_hw.data.load import ImageData, load_data
from vitas_hw.data.splits import IndexedPart
from vitas_hw.training.baseline import baseline_of


@pytest.fixture(scope="module")
def data() -> ImageData:
    return load_data("digits", preset("vitas-digits"))


def test_a_line_knows_most_digits(data: ImageData) -> None:
    found = baseline_of(data)
    assert found.linear > 0.9
    assert found.best == found.linear
    assert found.images == len(data.train)
    assert found == baseline_of(data)


def test_the_commonest_class_is_that_of_the_training_images(data: ImageData) -> None:
    assert isinstance(data.train, IndexedPart)
    labels = data.train.labels.numpy()
    threes = np.flatnonzero(labels == 3)
    few = data.train.subset([*threes, *np.flatnonzero(labels == 4)[:5]])
    found = baseline_of(replace(data, train=few))
    assert found.commonest == pytest.approx(float((data.search.labels == 3).float().mean()))


def test_images_of_one_class_have_nothing_to_fit(data: ImageData) -> None:
    assert isinstance(data.train, IndexedPart)
    threes = np.flatnonzero(data.train.labels.numpy() == 3).tolist()
    found = baseline_of(replace(data, train=data.train.subset(threes)))
    assert found.linear == found.commonest


def test_pixels_that_say_nothing_are_answered_by_chance(data: ImageData) -> None:
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(data.search.labels.numpy()))
    found = baseline_of(replace(data, search=replace(data.search, labels=shuffled)))
    assert found.linear < 0.3
