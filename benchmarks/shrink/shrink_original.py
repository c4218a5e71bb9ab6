"""The model to start from: timm's own ViT of ``ORIGINAL``'s shape, trained here, since no weights can be downloaded."""

from __future__ import annotations

import shrink_training
from shrink_setup import ORIGINAL, original_recipe
from shrink_training import Folder, fit, on_search, seal

import vitas_hw as vh
from vitas_hw.core import append_line
from vitas_hw.core.files import atomic_path
from vitas_hw.supernet import Original, load_model
from vitas_hw.supernet.weights_file import save_model

ARM = "original"


def train_original(folder: Folder, epochs: int = 30) -> bool:
    """Train and keep it, in half precision, under 1 MB; False if a signal asked to stop. Its row says what it is."""
    model = vh.build_model(ORIGINAL, seed=0)
    checkpoint = folder.kept / "original.pt"
    told = fit(model, original_recipe(epochs), 0, checkpoint, {"arm": ARM})
    if told is None:
        return False
    with atomic_path(folder.original) as made:
        save_model(model.half(), ORIGINAL, made)
    kept = load_model(folder.original)[0].eval()  # what is measured is the file that others read
    about = {"arm": ARM, "level": "whole", "setting": "from scratch", "seed": 0, "digest": ORIGINAL.digest}
    about |= {"subnet": ORIGINAL.to_dict(), "macs": ORIGINAL.macs, "params": ORIGINAL.params}
    about |= {"bytes": folder.original.stat().st_size, "search": on_search(kept), "machine": shrink_training.machine()}
    append_line(folder.rows, about | told | seal(kept, ARM, folder))
    shrink_training.done(checkpoint)
    return True


def load(folder: Folder) -> Original:
    """Raises SystemExit if it has not been trained."""
    if not folder.original.exists():
        raise SystemExit("The original is not there yet: python benchmarks/shrink/run_shrink.py original")
    model, subnet = load_model(folder.original)
    return Original(subnet, {name: weight.float() for name, weight in model.state_dict().items()})
