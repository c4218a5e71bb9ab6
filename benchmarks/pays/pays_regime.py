"""The regime: what the pilot tries, and the one recipe of every net that it fixes."""

from dataclasses import dataclass

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


def _probe(batch_size: int, lr: float) -> Pilot:
    """How fast a net learns, at a fifteenth of the cost."""
    return Pilot("3M", 7, 4, Recipe(epochs=4, batch_size=batch_size, lr=lr, flip=True, shift=1))


PILOTS = {
    "probe, batch 64, lr 0.003": _probe(64, 3e-3),
    "probe, batch 128, lr 0.003": _probe(128, 3e-3),
    "probe, batch 64, lr 0.006": _probe(64, 6e-3),
    "p4 d4, 15 epochs, flips": Pilot("6M", 4, 4, Recipe(epochs=15, batch_size=128, lr=3e-3)),
}
RECIPE: Recipe | None = None  # until the gate is reached, no net of an arm is trained
