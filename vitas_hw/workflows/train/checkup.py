"""Looking a supernet over after its training: how well its subnets do by size, depth, width and patch size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.depths import Shares
from vitas_hw.core.operators import Ints
from vitas_hw.core.progress import Progress
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.data.splits import Split
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.evaluate import subnet_accuracy
from vitas_hw.training.health import (
    DEPTH,
    LARGEST,
    PATCH,
    SIZE,
    SMALLEST,
    WIDTH,
    Baseline,
    Health,
    Scored,
    grouped,
    judged,
)

_VALUES = 5  # of a dimension, its least and its most among them
_SUBNETS = 3  # of each value: the same ones but for it
_LEAST_IMAGES, _MOST_IMAGES = 100, 1000  # the least is a matter of seconds
_SHARE = 0.1  # of the training's work at most, where the least images are no more than that
_BACKWARD = 3  # forward and backward together, in forward passes


def checkup(
    supernet: Supernet,
    split: Split,
    baseline: Baseline,
    *,
    depths: Shares,
    trained_images: int,
    history: Sequence[float],
    seed: int,
    deadline: Deadline,
    progress: Progress,
    autocast: str | None = None,
) -> Health:
    """Score a few random subnets of each value of a dimension, all else alike, and say what is wrong.

    Args:
        supernet: trained, in evaluation mode.
        split: the search part, on the supernet's device.
        baseline: what trivial classifiers reach on it.
        depths: how the training drew them.
        trained_images: seen by it, over all epochs.
        history: its mean loss of each epoch.
        seed: of the subnets that are scored.
        deadline: when to stop.
        progress: where to report to.
        autocast: what it runs in: as it was trained.

    Raises:
        TimeIsUpError: before all are scored.
    """
    space = supernet.space
    ends = {SMALLEST: space.encode(space.smallest)[None], LARGEST: space.encode(space.largest)[None]}
    wanted = {SIZE: ends} | alike(space, depths, np.random.default_rng([seed, 4]))
    count = sum(len(codes) for named in wanted.values() for codes in named.values())
    allowed = int(_SHARE * _BACKWARD * trained_images / count)
    images = min(len(split), max(min(allowed, _MOST_IMAGES), _LEAST_IMAGES))
    # evenly over the part, which lies in its source's order: of each class about its share
    looked = split.subset(np.linspace(0, len(split) - 1, images).astype(int).tolist())
    groups = []
    with progress.step("looking the supernet over", count) as advance:

        def scored(codes: Ints) -> Scored:
            found = []
            for code in codes:
                deadline.check("the supernet was looked over")
                found.append(
                    subnet_accuracy(supernet, space.decode(code), looked, space.layers(code), autocast=autocast)
                )
                advance("")
            return Scored(np.mean([one.losses for one in found], axis=0), float(np.mean([one.top1 for one in found])))

        for dimension, named in wanted.items():
            groups += grouped(dimension, {name: scored(codes) for name, codes in named.items()})
    return judged(groups, history, len(looked), baseline)


def alike(space: SearchSpace, depths: Shares, rng: np.random.Generator) -> dict[str, dict[str, Ints]]:
    """By dimension and by the name of a value, codes (subnets, code_length) of the same subnets but for that value.

    Widths and patch sizes are given to subnets drawn as in training; depths leave blocks out of the deepest. A
    dimension of one value is left out.
    """
    drawn = space.sample_codes(_SUBNETS, rng, depths)
    fewest, most = space.depth
    deepest = space.sample_codes(_SUBNETS, rng, (*(0.0,) * (most - fewest), 1.0))
    order = np.tile(np.arange(most), (_SUBNETS, 1))  # of the blocks: the last ones are left out first
    if not space.identity_shifting:
        order = rng.permuted(order, axis=1)

    def with_gene(place: int, value: int) -> Ints:
        codes = drawn.copy()
        codes[:, place] = value
        return codes

    def as_deep(depth: int) -> Ints:
        codes = deepest.copy()
        codes[:, HEADER:].reshape(_SUBNETS, most, PER_BLOCK)[order >= depth] = 0
        return codes

    found = {
        DEPTH: {f"depth {depth}": as_deep(depth) for depth in _spread(range(fewest, most + 1))},
        WIDTH: {f"width {width}": with_gene(1, space.embed_dims.index(width)) for width in _spread(space.embed_dims)},
        PATCH: {
            f"patch size {size}": with_gene(0, space.patch_sizes.index(size)) for size in _spread(space.patch_sizes)
        },
    }
    return {dimension: named for dimension, named in found.items() if len(named) > 1}


def _spread(values: Sequence[int]) -> list[int]:
    """A few of the values, evenly, both ends among them."""
    places = np.linspace(0, len(values) - 1, min(len(values), _VALUES))
    return [values[place] for place in places.round().astype(int).tolist()]
