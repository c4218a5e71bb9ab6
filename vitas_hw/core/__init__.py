"""What every room stands on: subnets, operators, spaces, budgets, targets. Standard library and numpy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.core.budget import Budget as Budget
    from vitas_hw.core.budget import Range as Range
    from vitas_hw.core.deadline import Deadline as Deadline
    from vitas_hw.core.deadline import TimeAllowed as TimeAllowed
    from vitas_hw.core.depths import Shares as Shares
    from vitas_hw.core.depths import identity_depths as identity_depths
    from vitas_hw.core.errors import InputError as InputError
    from vitas_hw.core.errors import VitasError as VitasError
    from vitas_hw.core.files import append_line as append_line
    from vitas_hw.core.files import write_atomic as write_atomic
    from vitas_hw.core.progress import SILENT as SILENT
    from vitas_hw.core.progress import Progress as Progress
    from vitas_hw.core.published import published_subnet as published_subnet
    from vitas_hw.core.reading import file_sha256 as file_sha256
    from vitas_hw.core.space import SearchSpace as SearchSpace
    from vitas_hw.core.subnet import Block as Block
    from vitas_hw.core.subnet import Subnet as Subnet
    from vitas_hw.core.tables import Cell as Cell
    from vitas_hw.core.tables import Rows as Rows
    from vitas_hw.core.tables import Tabular as Tabular
    from vitas_hw.core.target import Target as Target
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "budget": ("Budget", "Range"),
            "deadline": ("Deadline", "TimeAllowed"),
            "depths": ("Shares", "identity_depths"),
            "errors": ("InputError", "VitasError"),
            "files": ("append_line", "write_atomic"),
            "progress": ("Progress", "SILENT"),
            "published": ("published_subnet",),
            "reading": ("file_sha256",),
            "space": ("SearchSpace",),
            "subnet": ("Block", "Subnet"),
            "tables": ("Cell", "Rows", "Tabular"),
            "target": ("Target",),
        },
    )
