"""The regime: what the pilot tries, and the one recipe of every net that it fixes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pays_train import Recipe

GATE, GATE_CEILING = 0.905, "6M"  # top-1 on the search part, of the best net by hand at the largest ceiling


@dataclass(frozen=True)
class Pilot:
    """A net by hand, and how it is trained."""

    ceiling: str
    patch: int
    depth: int
    recipe: Recipe

    @property
    def why(self) -> str:
        return f"patch {self.patch}, depth {self.depth}"


def _probe(batch_size: int, lr: float, shift: int = 1, **more: Any) -> Pilot:
    """How fast a net learns, at a fifteenth of the cost."""
    return Pilot("3M", 7, 4, Recipe(epochs=4, batch_size=batch_size, lr=lr, flip=True, shift=shift, **more))


XAVIER = Recipe(epochs=15, batch_size=64, lr=3e-3, init="jax", position_std=0.2)
PILOTS = {
    "probe, batch 64, lr 0.003": _probe(64, 3e-3),
    "probe, batch 128, lr 0.003": _probe(128, 3e-3),
    "probe, batch 64, lr 0.006": _probe(64, 6e-3),
    "probe, batch 64, lr 0.012": _probe(64, 1.2e-2),
    "probe, flips alone, lr 0.006": _probe(64, 6e-3, 0),
    "probe, flips alone, lr 0.006, Xavier": _probe(64, 6e-3, 0, init="jax"),
    "probe, flips alone, lr 0.003, Xavier": _probe(64, 3e-3, 0, init="jax"),
    "probe, flips alone, lr 0.003, Xavier, positions 0.2": _probe(64, 3e-3, 0, init="jax", position_std=0.2),
    "probe, flips alone, lr 0.003, Xavier, positions 0.5": _probe(64, 3e-3, 0, init="jax", position_std=0.5),
    "probe, flips alone, lr 0.0015, Xavier, positions 0.2": _probe(64, 1.5e-3, 0, init="jax", position_std=0.2),
    "p7 d4, 30 epochs, flips, lr 0.006": Pilot("6M", 7, 4, Recipe(epochs=30, batch_size=64, lr=6e-3)),
    "p7 d4, 15 epochs, flips, lr 0.0015, Xavier, positions 0.2": Pilot("6M", 7, 4, replace(XAVIER, lr=1.5e-3)),
    "p4 d4, 15 epochs, flips, lr 0.0015, Xavier, positions 0.2": Pilot("6M", 4, 4, replace(XAVIER, lr=1.5e-3)),
    "p7 d6, 15 epochs, flips, lr 0.0015, Xavier, positions 0.2": Pilot("6M", 7, 6, replace(XAVIER, lr=1.5e-3)),
    "p7 d4, 15 epochs, flips and shifts of 1, lr 0.0015, Xavier, positions 0.2": Pilot(
        "6M", 7, 4, replace(XAVIER, lr=1.5e-3, shift=1)
    ),
    "p7 d4, 15 epochs, flips, lr 0.003, Xavier, positions 0.2": Pilot("6M", 7, 4, XAVIER),
    "p7 d4, 20 epochs, flips, lr 0.0015, Xavier, positions 0.2": Pilot(
        "6M", 7, 4, replace(XAVIER, lr=1.5e-3, epochs=20)
    ),
}


def fixed(pilots: Sequence[Mapping[str, Any]]) -> Recipe | None:
    """The recipe of every net: of those that reach the gate the one with the fewest epochs, the first of equals.

    None until every pilot has its row, and where none reaches the gate: then pilots are added to the list.
    """
    rows = {row["pilot"]: row for row in pilots}
    if not rows.keys() >= PILOTS.keys():
        return None
    reached = [
        how.recipe
        for name, how in PILOTS.items()
        if how.ceiling == GATE_CEILING and rows[name]["search"]["top1"] >= GATE
    ]
    return min(reached, key=lambda recipe: recipe.epochs, default=None)
