"""A run's directory: its files by name, and what a word means as a subnet of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.runs.artifacts import last_result as last_result
    from vitas_hw.runs.artifacts import load_run_data as load_run_data
    from vitas_hw.runs.artifacts import load_run_predictor as load_run_predictor
    from vitas_hw.runs.artifacts import load_run_supernet as load_run_supernet
    from vitas_hw.runs.artifacts import read_exports as read_exports
    from vitas_hw.runs.directory import DEFAULT_RUN as DEFAULT_RUN
    from vitas_hw.runs.directory import Run as Run
    from vitas_hw.runs.shrunk import Shrunk as Shrunk
    from vitas_hw.runs.space_file import load_space as load_space
    from vitas_hw.runs.subnets import choose as choose
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "artifacts": (
                "last_result",
                "load_run_data",
                "load_run_predictor",
                "load_run_supernet",
                "read_exports",
            ),
            "directory": ("DEFAULT_RUN", "Run"),
            "shrunk": ("Shrunk",),
            "space_file": ("load_space",),
            "subnets": ("choose",),
        },
    )
