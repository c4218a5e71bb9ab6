"""How to compare subnets."""

from __future__ import annotations

from vitas_hw.core.settings import setting, settings
from vitas_hw.profiling.place import TargetAsked
from vitas_hw.workflows.profile.settings import ProfileSettings


@settings
class CompareSettings(TargetAsked):
    """The target, the visits and the images.

    Args:
        rounds: visits to each.
        data: whose test part tells the accuracy; None is the run's. Subnets without trained weights get none.
        seed: of the orders.
    """

    rounds: int = setting(default=5, help="Visits to each, interleaved.", at_least=1)
    data: str | None = setting(default=None, help="Images for the accuracy. Default: the run's.")
    seed: int = setting(default=0, like=ProfileSettings)
