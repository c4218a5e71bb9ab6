"""How many of a CPU's threads work on a net: small nets lose more by waiting for each other than they gain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet

# Forward MACs of a batch for each thread. Measured on two cores: a second thread makes batches of 7.7e8 MACs 1.58 times
# as fast, and of 1.3e8 only 1.28 times: threads meet after each of a block's small products. They sleep while they
# wait, so that more threads cost a busy machine little. See benchmarks/training_threads.py.
_MACS_A_THREAD = 3e8


def threads_for(macs: float, images: int, most: int) -> int:
    """A rule without a clock, so that the same command gives the same bits on the same machine, busy or not.

    Args:
        macs: of an image, forward.
        images: of a batch.
        most: threads that torch would take.

    Example:
        >>> threads_for(macs=6e6, images=64, most=8), threads_for(macs=1.3e9, images=64, most=8)
        (1, 8)
    """
    return max(1, min(most, int(macs * images / _MACS_A_THREAD)))


@contextmanager
def working_threads(
    wanted: int | None, model: SearchSpace | Subnet, images: int, device: str, workers: int = 0
) -> Iterator[int]:
    """Torch's number of threads within the block.

    Another number adds in another order, which changes results by rounding. What torch was told before, by
    ``OMP_NUM_THREADS`` or ``torch.set_num_threads``, is the most that is taken unasked.

    Args:
        wanted: None takes what suits the model.
        model: a subnet, or a space, of which the mean of the smallest and the largest subnet counts.
        images: of a batch.
        device: torch's name; what computes elsewhere needs no more than torch takes.
        workers: processes beside, which need a core each.
    """
    before = torch.get_num_threads()
    number = wanted
    if number is None and device == "cpu":
        macs = model.macs if isinstance(model, Subnet) else (model.smallest.macs + model.largest.macs) / 2
        number = threads_for(macs, images, max(before - workers, 1))
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
