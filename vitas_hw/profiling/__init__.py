"""Measuring subnets on real devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.profiling.backend import open_backend as open_backend
    from vitas_hw.profiling.journal import Journal as Journal
    from vitas_hw.profiling.place import Place as Place
    from vitas_hw.profiling.place import TargetAsked as TargetAsked
    from vitas_hw.profiling.place import find_place as find_place
    from vitas_hw.profiling.place import place_of as place_of
    from vitas_hw.profiling.profile import Measurement as Measurement
    from vitas_hw.profiling.profile import Profile as Profile
    from vitas_hw.profiling.profile import load_profile as load_profile
    from vitas_hw.profiling.profile import save_profile as save_profile
    from vitas_hw.profiling.profile import table_of as table_of
    from vitas_hw.profiling.protocol import side_by_side as side_by_side
    from vitas_hw.profiling.selection import choose_subnets as choose_subnets
    from vitas_hw.profiling.worker import Worker as Worker
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "backend": ("open_backend",),
            "journal": ("Journal",),
            "place": ("Place", "TargetAsked", "find_place", "place_of"),
            "profile": ("Measurement", "Profile", "load_profile", "save_profile", "table_of"),
            "protocol": ("side_by_side",),
            "selection": ("choose_subnets",),
            "worker": ("Worker",),
        },
    )
