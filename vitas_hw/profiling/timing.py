"""Timing one session: warm-up until steady, then raw samples."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

from vitas_hw.profiling.backend import Session


@dataclass(frozen=True)
class Timing:
    """How long to time one visit of a subnet.

    Args:
        warmup_s, sample_s: least seconds of warm-up and of sampling.
        min_samples, max_samples: bounds on the number of samples whatever the time.
    """

    warmup_s: float = 0.01
    sample_s: float = 0.04
    min_samples: int = 5
    max_samples: int = 200


def time_session(session: Session, timing: Timing) -> list[float]:
    """Latencies in milliseconds of inferences in a row, in order, after a warm-up of at least three.

    The garbage collector rests meanwhile: it would be measured as the model's.
    """
    clock = time.perf_counter
    collecting = gc.isenabled()
    gc.disable()
    try:
        end, runs = clock() + timing.warmup_s, 0
        while runs < 3 or clock() < end:
            session.samples_ms(1)
            runs += 1
        samples: list[float] = []
        end = clock() + timing.sample_s
        while len(samples) < timing.min_samples or (clock() < end and len(samples) < timing.max_samples):
            samples += session.samples_ms(1)
        return samples
    finally:
        if collecting:
            gc.enable()
