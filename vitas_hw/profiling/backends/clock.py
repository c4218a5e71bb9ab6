"""What the backends share: images drawn once, and the host's clock around a finished inference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.backend import INPUTS, Floats

Input = TypeVar("Input")


def digest_seed(subnet: Subnet) -> int:
    """The seed of a subnet's random weights and images: the same on every machine."""
    return int(subnet.digest, 16) % 2**32


def random_images(subnet: Subnet, batch_size: int) -> list[Floats]:
    """``INPUTS`` batches (batch_size, in_chans, height, width), standard normal."""
    rng = np.random.default_rng(digest_seed(subnet))
    shape = (batch_size, subnet.in_chans, *subnet.image_size)
    return [rng.standard_normal(shape, np.float32) for _ in range(INPUTS)]


def wall_clock_ms(run: Callable[[Input], object], inputs: Iterator[Input], count: int) -> list[float]:
    """Milliseconds of ``count`` calls of ``run``, which returns once its work is done.

    The next input is taken before the clock starts, so what the iterator does to prepare it is not measured.
    """
    clock, samples = time.perf_counter_ns, []
    for _ in range(count):
        value = next(inputs)
        start = clock()
        run(value)
        samples.append((clock() - start) * 1e-6)
    return samples
