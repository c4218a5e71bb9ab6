"""Latencies as a predictor learns them: beside each how sure it is, and what its visits said one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What N subnets are taken to need, by an estimator that looked at their visits.

    Args:
        measured: (N,) positive milliseconds.
        error: (N,) relative standard uncertainty of each, not negative; None where it is not known.
        visits: (N, V) what each visit alone says, NaN where there were fewer; None where they are not known.
        visit_error: (N, V) relative standard uncertainty of each visit, on any scale; None as ``visits``.
    """

    measured: Floats
    error: Floats | None = None
    visits: Floats | None = None
    visit_error: Floats | None = None


Labeller = Callable[[npt.NDArray[np.int64]], Labels]
"""The labels of all N rows by an estimator whose corrections were fitted to some of the rows alone."""
