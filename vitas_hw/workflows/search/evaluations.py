"""What scores subnets: a super-transformer's weights on growing parts of the search split, or a training-free proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.engine import Evaluate, Evaluations, Job, Scorer

if TYPE_CHECKING:
    from vitas_hw.data.splits import Split
    from vitas_hw.supernet.supernet import Supernet

_FEWEST = 1000  # images in the first part: fewer order subnets hardly better than chance (a top-1 to 1.5 points)
_SHARES = (1.0,), (0.5, 0.5), (0.25, 0.25, 0.5)


Spread = Callable[[Scorer], Evaluate]


def in_order(scorer: Scorer) -> Evaluate:
    """One job after the other, in this process."""

    def evaluate(jobs: Sequence[Job]) -> Iterable[float]:
        return map(scorer, jobs)

    return evaluate


@dataclass(frozen=True)
class SupernetScorer:
    """Top-1 with the supernet's weights on a part of the search split."""

    supernet: Supernet
    parts: tuple[Split, ...]

    def __call__(self, job: Job) -> float:
        from vitas_hw.training.evaluate import subnet_accuracy

        (code, part), space = job, self.supernet.space
        return subnet_accuracy(self.supernet, space.decode(code), self.parts[part], space.layers(code)).top1

    def to(self, device: str) -> SupernetScorer:
        """The supernet itself is moved, as torch's modules are."""
        return replace(self, supernet=self.supernet.to(device), parts=tuple(one.to(device) for one in self.parts))


@dataclass(frozen=True)
class ProxyScorer:
    """The training-free score; on the CPU, whose matrices are small."""

    space: SearchSpace
    seed: int

    def __call__(self, job: Job) -> float:
        from vitas_hw.supernet.proxy import proxy_score

        return proxy_score(self.space.decode(job[0]), self.seed)

    def to(self, device: str) -> ProxyScorer:  # noqa: ARG002
        return self


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


def supernet_evaluations(
    space: SearchSpace, supernet: object, data: object, archive: Archive, spread: Spread = in_order
) -> Evaluations:
    """Top-1 of the space's codes with the supernet's weights on the data's search split.

    Args:
        space: of the codes.
        supernet: a ``Supernet`` of it.
        data: an ``ImageData``, its search split where the supernet is.
        archive: what is known already.
        spread: who does the work.

    Raises:
        InputError: no ``Supernet`` of the space, or no ``ImageData``.
    """
    from vitas_hw.data.load import ImageData
    from vitas_hw.supernet.supernet import Supernet

    if not isinstance(supernet, Supernet) or not isinstance(data, ImageData):
        raise InputError("search needs supernet=build_supernet(...) or a loaded one, and data=load_data(...).")
    if supernet.space != space:
        raise InputError(f"The super-transformer is one of another space than {space.name!r}.")
    parts = tuple(parts_of(data.search, part_shares(len(data.search))))
    exact = tuple(len(part) / len(data.search) for part in parts)
    return Evaluations(space, spread(SupernetScorer(supernet, parts)), exact, archive)


def proxy_evaluations(space: SearchSpace, seed: int, archive: Archive, spread: Spread = in_order) -> Evaluations:
    """Training-free scores of the space's codes, which need no data and nothing trained."""
    return Evaluations(space, spread(ProxyScorer(space, seed)), archive=archive, proxy=True)
