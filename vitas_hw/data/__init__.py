"""Labelled images in three parts: train, search, test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.data.load import ImageData as ImageData
    from vitas_hw.data.load import load_data as load_data
    from vitas_hw.data.preprocessing import Preprocessing as Preprocessing
    from vitas_hw.data.splits import IndexedPart as IndexedPart
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "load": ("ImageData", "load_data"),
            "preprocessing": ("Preprocessing",),
            "splits": ("IndexedPart",),
        },
    )
