"""Steps as a user runs them, without what only makes their result good: for tests that look at anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vitas_hw.profiling.timing import Timing

_QUICK = Timing(max_warmup_s=0.005, sample_s=0.005, anchor_s=0.003)
_TIMINGS = (
    "profiling.protocol.TIMING",
    "profiling.protocol.LONGER",
    "workflows.profile.profile.TIMING",
    "workflows.profile.bundle.TIMING",
    "workflows.compare.LONGER",
)


@contextmanager
def brief_steps() -> Iterator[None]:
    """Visits of a subnet take milliseconds, and finalists are fine-tuned for 4 epochs; those of tiny spaces take 20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitas_hw.training.recipe._FINETUNE_EPOCHS", (4, 4))
        for timing in _TIMINGS:
            patch.setattr(f"vitas_hw.{timing}", _QUICK)
        yield
