"""Plain models as files for other runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.export.parity import Exported as Exported
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "parity": ("Exported",),
        },
    )
