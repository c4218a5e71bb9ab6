"""vitas-hw: the best vision transformer for your own device.

Every name below loads what it needs when it is first used, so that ``import vitas_hw`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitas_hw.core.budget import Budget as Budget
    from vitas_hw.core.errors import VitasError as VitasError
    from vitas_hw.core.published import published_subnet as published_subnet
    from vitas_hw.core.space import SearchSpace as SearchSpace
    from vitas_hw.core.subnet import Block as Block
    from vitas_hw.core.subnet import Subnet as Subnet
    from vitas_hw.core.target import Target as Target
    from vitas_hw.data.load import load_data as load_data
    from vitas_hw.predictors.shipped import load_predictor as load_predictor
    from vitas_hw.profiling.profile import load_profile as load_profile
    from vitas_hw.runs.space_file import load_space as load_space
    from vitas_hw.supernet.plain import build_model as build_model
    from vitas_hw.supernet.supernet import build_supernet as build_supernet
    from vitas_hw.supernet.supernet import extract as extract
    from vitas_hw.supernet.weights_file import load_supernet as load_supernet
    from vitas_hw.workflows.fit import fit_predictor as fit_predictor
    from vitas_hw.workflows.search.search import search as search

_HOMES = {
    "Block": "core.subnet",
    "Budget": "core.budget",
    "SearchSpace": "core.space",
    "Subnet": "core.subnet",
    "Target": "core.target",
    "VitasError": "core.errors",
    "build_model": "supernet.plain",
    "build_supernet": "supernet.supernet",
    "extract": "supernet.supernet",
    "fit_predictor": "workflows.fit",
    "load_data": "data.load",
    "load_predictor": "predictors.shipped",
    "load_profile": "profiling.profile",
    "load_space": "runs.space_file",
    "load_supernet": "supernet.weights_file",
    "published_subnet": "core.published",
    "search": "workflows.search.search",
}
__all__ = sorted(_HOMES)  # the lazy names


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
