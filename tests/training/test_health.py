"""What a supernet says about itself: each sentence is said when it is due, and only then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitas_hw.core.deadline import NEVER
from vitas_hw.core.depths import uniform_depths
from vitas_hw.core.progress import SILENT
from vitas_hw.core.records import to_json
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.data.load import load_data
from vitas_hw.data.splits import Split
from vitas_hw.supernet.supernet import Supernet, build_supernet
from vitas_hw.training.evaluate import subnet_accuracy
from vitas_hw.training.health import (
    DEPTH,
    LARGEST,
    PATCH,
    SIZE,
    SMALLEST,
    WIDTH,
    Baseline,
    Group,
    Health,
    Scored,
    below_baseline,
    grouped,
    judged,
    late_fall,
)
from vitas_hw.training.objective import SupernetObjective
from vitas_hw.training.recipe import Recipe
from vitas_hw.training.trainer import Training
from vitas_hw.workflows.train.checkup import alike, checkup

IMAGES = 400
FLAT = [2.0] * 10 + [1.0] * 30
LEARNT = {SMALLEST: 0.6, LARGEST: 0.5}  # a supernet with nothing to complain of
DEPTHS, WIDTHS = {"depth 2": 0.7, "depth 8": 0.5}, {"width 64": 0.7, "width 96": 0.6, "width 128": 0.5}


def scored(loss: float, *, noise: float = 0.3, seed: int = 0, own: float = 0.0) -> Scored:
    """Images differ much among themselves, and a little (``own``) from subnet to subnet."""
    images = np.random.default_rng(99).normal(0, noise, IMAGES)
    mine = np.random.default_rng(seed).normal(0, own, IMAGES)
    return Scored((loss + images - images.mean() + mine - mine.mean()).astype(np.float32), 0.8)


def groups(dimension: str, losses: dict[str, float], own: float = 0.01) -> list[Group]:
    return grouped(
        dimension, {name: scored(loss, own=own, seed=place) for place, (name, loss) in enumerate(losses.items())}
    )


def advice(*, history: list[float] = FLAT, own: float = 0.01, **losses: dict[str, float]) -> tuple[str, ...]:
    said = {SIZE: LEARNT, DEPTH: DEPTHS, WIDTH: WIDTHS} | losses
    found = [group for dimension, named in said.items() for group in groups(dimension, named, own)]
    return judged(found, history, IMAGES).advice


def test_a_supernet_as_it_should_be_gets_no_advice() -> None:
    assert advice() == ()


def test_the_largest_below_the_smallest_is_told_with_a_remedy() -> None:
    (said,) = advice(size={SMALLEST: 0.5, LARGEST: 0.53})
    assert "The largest subnet does worse than the smallest (loss 0.530 against 0.500)" in said
    assert "train for more epochs" in said
    # the same difference, but not to be told from chance
    assert advice(size={SMALLEST: 0.5, LARGEST: 0.53}, own=2.0)[:1] != (said,)
    assert not judged(groups(SIZE, LEARNT), FLAT, IMAGES).largest_is_worse
    assert judged(groups(SIZE, {SMALLEST: 0.5, LARGEST: 0.53}), FLAT, IMAGES).largest_is_worse
    assert not judged(groups(SIZE, {SMALLEST: 0.5, LARGEST: 0.53}, own=2.0), FLAT, IMAGES).largest_is_worse


def test_a_dimension_that_makes_no_difference_is_told() -> None:
    (said,) = advice(width={"width 64": 0.5, "width 96": 0.5001, "width 128": 0.5})
    assert said.startswith("The width makes no difference that 400 images can show")
    (said,) = advice(depth={"depth 2": 0.5, "depth 8": 0.5})
    assert said.startswith("The depth makes no difference")
    # one value that differs is a difference
    assert advice(width={"width 64": 0.5, "width 96": 0.6, "width 128": 0.5}) == ()


def test_the_error_is_paired_image_by_image() -> None:
    """Images differ by 0.3 among themselves, which unpaired would hide any difference of 0.01."""
    lowest, behind = sorted(groups(WIDTH, {"width 64": 0.51, "width 96": 0.50}), key=lambda one: one.loss)
    assert (lowest.behind, lowest.error) == (0.0, 0.0)
    assert behind.behind == pytest.approx(0.01, abs=1e-5)
    assert behind.error == pytest.approx(np.sqrt(2) * 0.01 / np.sqrt(IMAGES), rel=0.2)


def test_a_loss_that_still_falls_is_told_by_how_much() -> None:
    falling = np.linspace(2.0, 1.0, 40).tolist()
    assert late_fall(falling) == pytest.approx(0.5, abs=0.05)  # half of what it fell, of the last loss
    (said,) = advice(history=falling)
    assert "The supernet's training loss still fell steeply" in said
    assert late_fall(FLAT) == 0.0
    assert late_fall([2.0, 1.0]) == 0.0  # too few epochs to say
    flattened = [1.0 + 0.5 ** (epoch / 4) for epoch in range(60)]
    assert advice(history=flattened) == ()


BASELINE = Baseline(commonest=0.1, linear=0.82, images=1000)


def test_a_supernet_below_a_linear_model_is_told() -> None:
    """All groups have a top-1 of 80%."""
    (said,) = judged(groups(SIZE, LEARNT), FLAT, IMAGES, BASELINE).advice
    assert said.startswith(
        "With inherited weights even the best of these subnets (80.0%) is below a linear model on thumbnails (82.0%):"
        " train"
    )
    assert judged(groups(SIZE, LEARNT), FLAT, IMAGES, replace(BASELINE, linear=0.79)).advice == ()
    (said,) = judged(groups(SIZE, LEARNT), FLAT, IMAGES, Baseline(0.9, 0.82, 1000)).advice
    assert "always the commonest class (90.0%)" in said


def test_a_choice_below_a_linear_model_is_told() -> None:
    health = judged(groups(SIZE, LEARNT), FLAT, IMAGES, BASELINE)
    assert below_baseline(health, 0.819).startswith(
        "The choice's top-1 of 81.9% is below a linear model on thumbnails (82.0%): train for more epochs"
    )
    assert below_baseline(health, 0.82) == ""
    assert below_baseline(health, None) == ""
    assert below_baseline(replace(health, baseline=None), 0.1) == ""
    assert below_baseline(None, 0.1) == ""


def test_it_is_kept_and_read_again() -> None:
    old = to_json(judged(groups(SIZE, LEARNT), FLAT, IMAGES))
    assert "baseline" not in old  # as before it was asked
    assert Health.from_dict(old).baseline is None
    whole = judged(groups(SIZE, LEARNT), FLAT, IMAGES, BASELINE)
    assert Health.from_dict(to_json(whole)) == whole
    health = judged(groups(SIZE, {SMALLEST: 0.5, LARGEST: 0.53}), FLAT, IMAGES)
    assert Health.from_dict(to_json(health)) == health


@pytest.mark.parametrize("shifting", [True, False])
def test_subnets_are_alike_but_for_the_dimension(small: SearchSpace, shifting: bool) -> None:
    space = replace(small, depth=(1, 9), identity_shifting=shifting)
    found = alike(space, uniform_depths(space), np.random.default_rng(0))
    assert list(found[DEPTH]) == ["depth 1", "depth 3", "depth 5", "depth 7", "depth 9"]
    assert list(found[WIDTH]) == ["width 24", "width 37", "width 48"]
    assert list(found[PATCH]) == ["patch size 8", "patch size 16"]
    for dimension, place in ((PATCH, 0), (WIDTH, 1)):
        codes = list(found[dimension].values())
        for value, mine in enumerate(codes):
            assert (mine[:, place] == value).all()
            assert (np.delete(mine, place, 1) == np.delete(codes[0], place, 1)).all()
    deepest = found[DEPTH]["depth 9"]
    for name, mine in found[DEPTH].items():
        assert space.depths(mine).tolist() == [int(name.split()[1])] * len(mine)
        kept = np.repeat(mine[:, HEADER::PER_BLOCK] > 0, PER_BLOCK, axis=1)
        assert (mine[:, HEADER:][kept] == deepest[:, HEADER:][kept]).all()
        assert (space.canonical(mine) == mine).all()


@pytest.fixture(scope="module")
def split(small: SearchSpace) -> Split:
    return load_data("digits", small).search


def scores(supernet: Supernet, split: Split, trained_images: int = 10**6) -> Health:
    depths = uniform_depths(supernet.space)
    about = {"depths": depths, "trained_images": trained_images, "history": FLAT}
    return checkup(supernet, split, BASELINE, **about, seed=3, deadline=NEVER, progress=SILENT)  # type: ignore[arg-type]


def test_it_is_measured_on_the_supernet(small: SearchSpace, split: Split) -> None:
    supernet = build_supernet(small, seed=0).eval()
    health = scores(supernet, split)
    assert health == scores(supernet, split)
    assert health.images == len(split)
    by_name = {one.name: one for one in health.groups}
    for name, subnet in ((SMALLEST, small.smallest), (LARGEST, small.largest)):
        expected = subnet_accuracy(supernet, subnet, split)
        assert by_name[name].loss == pytest.approx(expected.loss, rel=1e-5)
        assert by_name[name].top1 == pytest.approx(expected.top1)
    assert [one.name for one in health.groups if one.dimension == DEPTH] == [f"depth {d}" for d in (1, 2, 3, 4)]


def test_it_takes_a_tenth_of_the_trainings_work_at_most(small: SearchSpace, split: Split) -> None:
    supernet = build_supernet(small, seed=0).eval()
    subnets = 2 + 3 * (4 + 3 + 2)
    trained = 20_000
    health = scores(supernet, split, trained)
    assert health.images == int(0.1 * 3 * trained / subnets) < len(split)
    assert scores(supernet, split, 1).images == 100  # seconds, whatever was trained
    assert set(split.labels[np.linspace(0, len(split) - 1, 100).astype(int)].tolist()) == set(range(10))


def test_a_supernet_whose_deep_blocks_were_never_trained_says_so(small: SearchSpace, split: Split) -> None:
    """The defect that this is for: behind blocks that were trained stand others that were not."""
    supernet = build_supernet(small, seed=0)
    recipe = Recipe(epochs=8, batch_size=32, lr=3e-3, warmup_epochs=1)
    objective = SupernetObjective(supernet, recipe, depths=(1.0, 0.0, 0.0, 0.0))
    data = load_data("digits", small)
    Training(objective, data.train, recipe, seed=0, num_classes=10).run()
    for block in list(supernet.blocks)[1:]:
        for weight in block.parameters():
            torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    health = scores(supernet, split)
    assert health.largest_is_worse
    assert health.advice[0].startswith("The largest subnet does worse than the smallest")
    depths = [one.loss for one in health.groups if one.dimension == DEPTH]
    assert depths[0] == min(depths)
