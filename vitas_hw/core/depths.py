"""How often each depth of a space is drawn, and with it how often each block of a supernet is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace

Shares = tuple[float, ...]  # of each depth from the fewest blocks to the most; they sum to 1
FLOOR = 0.5  # of its equal share, that each depth keeps whatever the budget


def uniform_depths(space: SearchSpace) -> Shares:
    """Every depth equally often, as AutoFormer draws it: of n depths the last block is trained in 1/n of the steps."""
    count = space.depth[1] - space.depth[0] + 1
    return (1 / count,) * count


def identity_depths(space: SearchSpace, p: float) -> Shares:
    """Each block beyond the fewest is the identity with probability ``p``, independently (ViTAS section 3.4).

    The shares are binomial: of many optional blocks nearly all draws have about the same depth.

    Raises:
        InputError: ``p`` is no probability.
    """
    if not 0.0 <= p <= 1.0:
        raise InputError(f"An identity probability lies between 0 and 1: {p} does not.")
    shares = np.ones(1)
    for _ in range(space.depth[1] - space.depth[0]):
        shares = np.convolve(shares, [p, 1 - p])
    return tuple(shares.tolist())


def tilted_depths(space: SearchSpace, tilt: float) -> Shares:
    """Shares that grow (``tilt`` above 0) or fall evenly with depth, but none below half of an equal share.

    Of n depths the last block is trained in at least 1/(2n) of the steps.

    Example:
        >>> [round(share, 3) for share in tilted_depths(load_space("vitas-digits"), 0.0)][:2]
        [0.077, 0.077]
    """
    equal = np.array(uniform_depths(space))
    logs = tilt * np.arange(len(equal))
    grown = np.exp(logs - logs.max())
    return tuple((FLOOR * equal + (1 - FLOOR) * grown / grown.sum()).tolist())


def block_shares(space: SearchSpace, depths: Sequence[float]) -> Shares:
    """(most blocks,) the share of draws in which each block of the supernet takes part."""
    if not space.identity_shifting:  # the identities lie anywhere
        mean = float(np.dot(depths, np.arange(space.depth[0], space.depth[1] + 1)))
        return (mean / space.depth[1],) * space.depth[1]
    deeper = np.cumsum(depths[::-1])[::-1]
    kept = np.concatenate([np.ones(space.depth[0]), deeper[1:]])  # of the block that is dropped last, first
    shares = np.empty(space.depth[1])
    shares[list(space.block_order or range(space.depth[1]))] = kept
    return tuple(shares.tolist())
