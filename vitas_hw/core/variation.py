"""Crossover and mutation on the codes of a space: what optimizers make new codes with."""

from __future__ import annotations

import numpy as np

from vitas_hw.core.operators import Ints
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace


def crossover(space: SearchSpace, first: Ints, second: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Two-point crossover (ViTAS section 4.3) of N pairs of codes (N, code_length); both children, canonical.

    The cuts lie between genes, so a block can get its head count from one parent and its widths from the other. A
    child with fewer blocks than the space allows takes them back from the parent it stems from.
    """
    cuts = np.sort(rng.integers(0, space.code_length + 1, size=(len(first), 2)), axis=1)
    gene = np.arange(space.code_length)
    inside = (cuts[:, :1] <= gene) & (gene < cuts[:, 1:])
    return (
        _repaired(space, np.where(inside, second, first), first),
        _repaired(space, np.where(inside, first, second), second),
    )


def mutation(space: SearchSpace, codes: Ints, rng: np.random.Generator, genes: float = 2.0) -> Ints:
    """Mutated copies of N codes (N, code_length), canonical.

    Args:
        genes: how many genes of a code change on average. Half of the changes go to a neighbouring value (the choices
            are ordered, as in the paper's polynomial mutation), half to any value.
    """
    hit = rng.random(codes.shape) < genes / space.code_length
    anywhere = rng.integers(0, space.cardinalities, size=codes.shape)
    beside = np.clip(codes + rng.choice([-1, 1], size=codes.shape), 0, space.cardinalities - 1)
    mutated = np.where(hit, np.where(rng.random(codes.shape) < 0.5, anywhere, beside), codes)
    return _repaired(space, mutated, codes)


def _repaired(space: SearchSpace, codes: Ints, origin: Ints) -> Ints:
    # origin is a valid code, so restoring its ops always restores enough blocks
    short = space.depths(codes) < space.depth[0]
    ops = slice(HEADER, None, PER_BLOCK)
    codes[short, ops] = np.where(codes[short, ops] == 0, origin[short, ops], codes[short, ops])
    return space.canonical(codes)
