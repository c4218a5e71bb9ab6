"""How to shrink a model."""

from __future__ import annotations

from typing import Any

from vitas_hw.core.budget import Budget
from vitas_hw.core.deadline import TimeAllowed
from vitas_hw.core.errors import InputError, shown
from vitas_hw.core.settings import setting, settings, shared
from vitas_hw.data.options import RECIPE, DataOptions
from vitas_hw.profiling.place import TargetAsked
from vitas_hw.runs.directory import DEFAULT_DATA
from vitas_hw.training.recipe import Runtime
from vitas_hw.workflows.train.settings import TrainSettings


def _times(text: str) -> float:
    """``2x`` or ``2`` as a number."""
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        problem = f"`speedup` {shown(text)} is no factor."
        raise InputError(problem, "Try `speedup=2x`.", field="speedup", value=text, allowed="such as 2x") from None


@settings
class ShrinkSettings(DataOptions, TargetAsked):
    """The images, the target, the budget, and how much work each step is.

    Args:
        data: see ``load_data``; no stream, which does not tell its classes.
        budget: what the choice may cost; or else
        speedup: the model's measured latency divided by this is the budget.
        num_subnets: to measure for the predictor. A third of a profile's usual number: a search measures its finalists
            and fits the predictor to them too.
        epochs, retrain_epochs: of the supernet and of the choice; None is what suits the data.
        train_device, train_threads: to train and evaluate on; latency is measured on ``device`` with ``threads``.
        workers: see ``Runtime``.
        max_time_s: see ``TimeAllowed``.
        seed: of every step.
    """

    data: str = setting(default=DEFAULT_DATA, like=TrainSettings)
    budget: Budget = Budget()  # frozen
    speedup: float | None = setting(
        default=None, help="Budget: this many times as fast as the model, 2x.", above=1, reads=_times
    )
    num_subnets: int = setting(default=40, help="Subnets to measure.", group=RECIPE, at_least=20)
    epochs: int | None = setting(default=None, help="Epochs to train the supernet.", group=RECIPE, at_least=1)
    retrain_epochs: int | None = setting(
        default=None, help="Epochs to retrain the chosen subnet.", group=RECIPE, at_least=1
    )
    train_device: str = setting(default="auto", help="Device to train on: cpu, cuda, auto.", group=RECIPE, runs=True)
    train_threads: int | None = setting(
        default=None,
        help="CPU threads for training. Default: by the MACs of a batch.",
        group=RECIPE,
        at_least=1,
        runs=True,
    )
    workers: int = setting(default=0, like=Runtime, group=RECIPE)
    max_time_s: float | None = setting(default=None, like=TimeAllowed, group=RECIPE)
    seed: int = setting(default=0, help="Random seed of every step.", at_least=0, at_most=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.speedup is not None and not self.budget.is_empty:
            raise InputError(
                "`speedup` is a budget of its own, and another one is given.",
                "Leave out the other one.",
                field="speedup",
            )
        if self.speedup is None and self.budget.is_empty:
            raise InputError(
                "There is no budget to shrink the model to.", "Give `latency=5ms`, `speedup=2x` or `flops=1G`."
            )

    @property
    def target(self) -> dict[str, Any]:
        """Of ``TargetAsked``."""
        return shared(self, TargetAsked)
