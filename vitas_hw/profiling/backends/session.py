"""What the backends share: images drawn once, the host's clock around a finished inference, and the open session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import numpy as np

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.backend import INPUTS, Floats

Input = TypeVar("Input")


class OpenSession:
    """A ``Session`` of two functions, which alone hold what is on the device.

    Args:
        samples_ms, logits: see ``Session``.
        guard: entered around each call: the runtime's settings, its errors as VitasError.
        precision: what really runs.
        peak_bytes: most of the device's memory used until now; None where the runtime does not tell.
        freed: called when both functions have been let go.
    """

    def __init__(
        self,
        samples_ms: Callable[[int], list[float]],
        logits: Callable[[Floats], Floats],
        guard: Callable[[], AbstractContextManager[None]],
        precision: str,
        *,
        peak_bytes: int | None = None,
        freed: Callable[[], None] = lambda: None,
    ) -> None:
        self.precision, self.peak_bytes = precision, peak_bytes
        self._work: tuple[Callable[[int], list[float]], Callable[[Floats], Floats]] | None = samples_ms, logits
        self._guard, self._freed = guard, freed

    def samples_ms(self, count: int) -> list[float]:
        samples_ms, _ = self._opened()
        with self._guard():
            return samples_ms(count)

    def logits(self, images: Floats) -> Floats:
        _, logits = self._opened()
        with self._guard():
            return logits(images)

    def close(self) -> None:
        self._work = None
        self._freed()

    def _opened(self) -> tuple[Callable[[int], list[float]], Callable[[Floats], Floats]]:
        if self._work is None:
            raise VitasError("The session is closed.")
        return self._work


@contextmanager
def runtime_errors(what: str, kind: type[Exception]) -> Iterator[None]:
    """Turns a runtime's errors into a VitasError."""
    try:
        yield
    except kind as error:
        raise VitasError(f"{what}: {error}") from error


def check_precision(target: Target, runs_in: str, where: str, how: str = "") -> None:
    """Raises VitasError if the linears run in another precision than the target's."""
    if runs_in != target.precision:
        raise VitasError(
            f"{where} computes {target.precision} in {runs_in} here{how}.",
            f"Try `precision={runs_in}`.",
            field="precision",
        )


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
