"""Data, and the training of supernets and plain models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.core.lazy import lazily

if TYPE_CHECKING:
    from vitas_hw.training.callbacks import Callback as Callback
    from vitas_hw.training.checkpoint import State as State
    from vitas_hw.training.distributed import Ranks as Ranks
    from vitas_hw.training.distributed import pick_device as pick_device
    from vitas_hw.training.evaluate import accuracy as accuracy
    from vitas_hw.training.evaluate import subnet_accuracy as subnet_accuracy
    from vitas_hw.training.objective import ModelObjective as ModelObjective
    from vitas_hw.training.objective import SupernetObjective as SupernetObjective
    from vitas_hw.training.recipe import FASHION as FASHION
    from vitas_hw.training.recipe import Recipe as Recipe
    from vitas_hw.training.recipe import Runtime as Runtime
    from vitas_hw.training.recipe import of_length as of_length
    from vitas_hw.training.teacher import on_device as on_device
    from vitas_hw.training.threads import working_threads as working_threads
    from vitas_hw.training.trainer import Training as Training
else:
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "callbacks": ("Callback",),
            "checkpoint": ("State",),
            "distributed": ("Ranks", "pick_device"),
            "evaluate": ("accuracy", "subnet_accuracy"),
            "objective": ("ModelObjective", "SupernetObjective"),
            "recipe": ("FASHION", "Recipe", "Runtime", "of_length"),
            "teacher": ("on_device",),
            "threads": ("working_threads",),
            "trainer": ("Training",),
        },
    )
