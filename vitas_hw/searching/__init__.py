"""Searching a space under a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.searching.admission import Admission as Admission
    from vitas_hw.searching.choosing import Measure as Measure
    from vitas_hw.searching.costs import Costs as Costs
    from vitas_hw.searching.optimizers.base import Optimizer as Optimizer
    from vitas_hw.searching.optimizers.base import Trials as Trials
    from vitas_hw.searching.optimizers.registry import GENERATIONS as GENERATIONS
    from vitas_hw.searching.optimizers.registry import POPULATION as POPULATION
    from vitas_hw.searching.optimizers.registry import make_optimizer as make_optimizer
    from vitas_hw.searching.result import Candidate as Candidate
    from vitas_hw.searching.result import SearchResult as SearchResult
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "admission": ("Admission",),
            "choosing": ("Measure",),
            "costs": ("Costs",),
            "optimizers.base": ("Optimizer", "Trials"),
            "optimizers.registry": ("GENERATIONS", "POPULATION", "make_optimizer"),
            "result": ("Candidate", "SearchResult"),
        },
    )
