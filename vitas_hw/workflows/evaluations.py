"""Scoring subnets with a super-transformer's weights on growing parts of the search split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.engine import Evaluations, Job

if TYPE_CHECKING:
    from vitas_hw.training.parts import Split

_FEWEST = 1000  # images in the first part: fewer order subnets hardly better than chance (a top-1 to 1.5 points)
_SHARES = (1.0,), (0.5, 0.5), (0.25, 0.25, 0.5)


def part_shares(images: int) -> tuple[float, ...]:
    """How a search split is divided for racing: one part unless it is large."""
    return max((shares for shares in _SHARES if len(shares) == 1 or images * shares[0] >= _FEWEST), key=len)


def parts_of(split: Split, shares: Sequence[float]) -> list[Split]:
    """The split in parts, each image in one, in an order that is always the same."""
    if len(shares) == 1:
        return [split]
    order = np.random.default_rng(0).permutation(len(split))
    ends = np.round(np.cumsum(shares) * len(split)).astype(int)
    return [split.subset(part.tolist()) for part in np.split(order, ends[:-1])]


def supernet_evaluations(space: SearchSpace, supernet: object, data: object, archive: Archive) -> Evaluations:
    """Top-1 of the space's codes with the supernet's weights on the data's search split.

    Raises:
        InputError: no ``Supernet`` of the space, or no ``ImageData``.
    """
    from vitas_hw.supernet.supernet import Supernet
    from vitas_hw.training.data import ImageData
    from vitas_hw.training.evaluate import subnet_accuracy

    if not isinstance(supernet, Supernet) or not isinstance(data, ImageData):
        raise InputError("search needs supernet=build_supernet(...) or a loaded one, and data=load_data(...).")
    if supernet.space != space:
        raise InputError(f"The super-transformer is one of another space than {space.name!r}.")
    shares = part_shares(len(data.search))
    parts = parts_of(data.search, shares)

    def evaluate(jobs: Sequence[Job]) -> Iterator[float]:
        for code, part in jobs:
            yield subnet_accuracy(supernet, space.decode(code), parts[part], space.layers(code)).top1

    exact = tuple(len(part) / len(data.search) for part in parts)
    return Evaluations(space, evaluate, exact, archive)
