"""vitas-hw: find the best vision transformer for your own device.

Every name below loads what it needs when it is first used, so that ``import vitas_hw`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitas_hw.api import optimizers as optimizers
    from vitas_hw.api.classify import classify as classify
    from vitas_hw.api.export import export_onnx as export_onnx
    from vitas_hw.api.fit import fit as fit
    from vitas_hw.api.found import Found as Found
    from vitas_hw.api.found import FoundSubnet as FoundSubnet
    from vitas_hw.api.load_profile import load_profile as load_profile
    from vitas_hw.api.measure import Measurements as Measurements
    from vitas_hw.api.measure import measure as measure
    from vitas_hw.api.run import Run as Run
    from vitas_hw.api.search import search as search
    from vitas_hw.api.space_for import space_for as space_for
    from vitas_hw.api.train import train_supernet as train_supernet
    from vitas_hw.core.budget import Budget as Budget
    from vitas_hw.core.errors import VitasError as VitasError
    from vitas_hw.core.published import published_subnet as published_subnet
    from vitas_hw.core.space import SearchSpace as SearchSpace
    from vitas_hw.core.subnet import Block as Block
    from vitas_hw.core.subnet import Subnet as Subnet
    from vitas_hw.core.tables import Rows as Rows
    from vitas_hw.core.target import Target as Target
    from vitas_hw.data.load import load_data as load_data
    from vitas_hw.predictors.shipped import load_predictor as load_predictor
    from vitas_hw.report.progress import Reporter as Reporter
    from vitas_hw.runs.space_file import load_space as load_space
    from vitas_hw.supernet.plain import build_model as build_model
    from vitas_hw.supernet.supernet import Supernet as Supernet
    from vitas_hw.supernet.supernet import build_supernet as build_supernet
    from vitas_hw.supernet.supernet import extract as extract
    from vitas_hw.supernet.weights_file import load_supernet as load_supernet
    from vitas_hw.workflows.fit import fit_predictor as fit_predictor

_HOMES = {
    "Block": "core.subnet",
    "Budget": "core.budget",
    "Found": "api.found",
    "FoundSubnet": "api.found",
    "Measurements": "api.measure",
    "Reporter": "report.progress",
    "Rows": "core.tables",
    "Run": "api.run",
    "SearchSpace": "core.space",
    "Subnet": "core.subnet",
    "Supernet": "supernet.supernet",
    "Target": "core.target",
    "VitasError": "core.errors",
    "build_model": "supernet.plain",
    "build_supernet": "supernet.supernet",
    "classify": "api.classify",
    "export_onnx": "api.export",
    "extract": "supernet.supernet",
    "fit": "api.fit",
    "fit_predictor": "workflows.fit",
    "load_data": "data.load",
    "load_predictor": "predictors.shipped",
    "load_profile": "api.load_profile",
    "load_space": "runs.space_file",
    "load_supernet": "supernet.weights_file",
    "measure": "api.measure",
    "optimizers": "api",
    "published_subnet": "core.published",
    "search": "api.search",
    "space_for": "api.space_for",
    "train_supernet": "api.train",
}
__all__ = sorted(_HOMES)  # the lazy names


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    if name == "optimizers":  # a module of its own names
        return import_module(f"{home.__name__}.{name}")
    value: object = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
