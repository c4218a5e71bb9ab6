"""The weight-shared supernet, its extracted subnets and the plain timm model they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.supernet.original import Original as Original
    from vitas_hw.supernet.plain import build_model as build_model
    from vitas_hw.supernet.supernet import Supernet as Supernet
    from vitas_hw.supernet.supernet import build_supernet as build_supernet
    from vitas_hw.supernet.supernet import extract as extract
    from vitas_hw.supernet.timm_models import subnet_of_model as subnet_of_model
    from vitas_hw.supernet.weights_file import load_model as load_model
    from vitas_hw.supernet.weights_file import load_supernet as load_supernet
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "original": ("Original",),
            "plain": ("build_model",),
            "supernet": ("Supernet", "build_supernet", "extract"),
            "timm_models": ("subnet_of_model",),
            "weights_file": ("load_model", "load_supernet"),
        },
    )
