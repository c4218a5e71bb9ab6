"""The regime: what the pilot tries, and the one recipe of every net that it fixes."""

from pays_train import Recipe

PILOT_CEILING = "6M"
GATE = 0.905  # top-1 on the search part, of the best uniform net at the largest ceiling
PILOTS = {  # name: patch, depth, recipe
    "p4 d4, 15 epochs, flips": (4, 4, Recipe(epochs=15, batch_size=128, lr=3e-3)),
    "p7 d4, 30 epochs, flips": (7, 4, Recipe(epochs=30, batch_size=128, lr=2e-3)),
}
RECIPE = PILOTS["p4 d4, 15 epochs, flips"][2]
