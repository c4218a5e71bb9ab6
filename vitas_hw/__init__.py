"""vitas-hw: find the best vision transformer for your own device.

Every name below loads what it needs when it is first used, so that ``import vitas_hw`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

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
    from vitas_hw.core import Block as Block
    from vitas_hw.core import Budget as Budget
    from vitas_hw.core import Rows as Rows
    from vitas_hw.core import SearchSpace as SearchSpace
    from vitas_hw.core import Subnet as Subnet
    from vitas_hw.core import Target as Target
    from vitas_hw.core import VitasError as VitasError
    from vitas_hw.core import published_subnet as published_subnet
    from vitas_hw.data import load_data as load_data
    from vitas_hw.predictors import load_predictor as load_predictor
    from vitas_hw.report import Reporter as Reporter
    from vitas_hw.runs import load_space as load_space
    from vitas_hw.supernet import Supernet as Supernet
    from vitas_hw.supernet import build_model as build_model
    from vitas_hw.supernet import build_supernet as build_supernet
    from vitas_hw.supernet import extract as extract
    from vitas_hw.supernet import load_supernet as load_supernet
    from vitas_hw.workflows.fit import fit_predictor as fit_predictor
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "api": ("optimizers",),
            "api.classify": ("classify",),
            "api.export": ("export_onnx",),
            "api.fit": ("fit",),
            "api.found": ("Found", "FoundSubnet"),
            "api.load_profile": ("load_profile",),
            "api.measure": ("Measurements", "measure"),
            "api.run": ("Run",),
            "api.search": ("search",),
            "api.space_for": ("space_for",),
            "api.train": ("train_supernet",),
            "core": ("Block", "Budget", "Rows", "SearchSpace", "Subnet", "Target", "VitasError", "published_subnet"),
            "data": ("load_data",),
            "predictors": ("load_predictor",),
            "report": ("Reporter",),
            "runs": ("load_space",),
            "supernet": ("Supernet", "build_model", "build_supernet", "extract", "load_supernet"),
            "workflows.fit": ("fit_predictor",),
        },
    )
