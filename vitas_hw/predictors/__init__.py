"""Latency predictors: learned from the measurements of one target, kept as plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.predictors.predictor import Predictor as Predictor
    from vitas_hw.predictors.shipped import load_predictor as load_predictor
    from vitas_hw.predictors.shipped import shipped_file as shipped_file
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "predictor": ("Predictor",),
            "shipped": ("load_predictor", "shipped_file"),
        },
    )
