"""Pictures of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.report.page import report as report
    from vitas_hw.report.progress import Reporter as Reporter
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "page": ("report",),
            "progress": ("Reporter",),
        },
    )
