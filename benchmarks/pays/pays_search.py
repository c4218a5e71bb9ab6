"""Ours: supernets trained by the library as it is when this runs, searched under each ceiling with its defaults.

    python benchmarks/pays/pays_search.py --seed 0    # may be stopped and repeated until its rows are there

Each leaves lines in ``searches.jsonl``: the supernet's training, its scores of the rank study's nets, and what the
search chose at each ceiling. ``run_study.py train`` then trains the choices as it trains all nets. The weights stay on
this machine (``kept/``), so a supernet is searched where it was trained.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pays_images
import pays_train
import run_study
import torch
from pays_nets import CEILINGS, SPACE

import vitas_hw as vh
from vitas_hw.core import append_line
from vitas_hw.data import ImageData, IndexedPart, Preprocessing
from vitas_hw.data.sources import ArraySource
from vitas_hw.data.splits import Split
from vitas_hw.supernet import load_supernet
from vitas_hw.supernet.weights_file import save_supernet
from vitas_hw.training import Recipe, Runtime, SupernetObjective, Training
from vitas_hw.training.checkpoint import load_state
from vitas_hw.training.recipe import supernet_recipe

KEPT = Path(__file__).parent / "kept"
SCHEME = "ordinal"  # the library's default
DATA = "fashion-mnist"  # by which the library proposes a recipe


def library_data() -> ImageData:
    """The study's images as the library wants them; its test part is empty: nothing here may look at it."""
    images = pays_images.training()
    labels = torch.from_numpy(pays_images.read("train", "labels-idx1").astype(np.int64))
    pixels = pays_images.read("train", "images-idx3").reshape(-1, *SPACE.image_size)
    names = tuple(str(number) for number in range(SPACE.num_classes))
    source = ArraySource(pixels, labels, names)
    how = Preprocessing(SPACE.image_size, (pays_images.MEAN,), (pays_images.STD,), "bilinear")
    held_out = list(images.search_indices)
    rest = np.delete(np.arange(len(labels)), held_out)
    search = Split(torch.from_numpy(pixels[held_out][:, None]), labels[held_out], images.search_indices, how)
    train = IndexedPart(source, tuple(rest.tolist()), how, keep=True)
    return ImageData(DATA, train, search, search.subset([]), names, how)


def trained(seed: int, recipe: Recipe, data: ImageData) -> Any:
    """The supernet of that seed, from its file if it was trained here before; None if asked to stop."""
    weights, state_file = KEPT / f"supernet-{seed}.safetensors", KEPT / f"supernet-{seed}.pt"
    if weights.exists():
        return load_supernet(weights)
    KEPT.mkdir(exist_ok=True)
    supernet = vh.build_supernet(SPACE, SCHEME, seed=seed)
    settings = {"seed": seed, "recipe": repr(recipe), "scheme": SCHEME}
    cpu, wall = time.process_time(), time.perf_counter()
    history = Training(
        SupernetObjective(supernet, recipe),
        data.train,
        recipe,
        seed=seed,
        num_classes=SPACE.num_classes,
        runtime=Runtime(device="cpu"),
        checkpoint=(state_file, settings),
    ).run(load_state(state_file, settings))
    cost = {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - wall, 1)}
    about = {"kind": "supernet", "seed": seed, "scheme": SCHEME, "recipe": repr(recipe), "images": len(data.train)}
    # of a training in several sittings each leaves its own line, so that no second is lost
    append_line(run_study.SEARCHES, about | {"losses": history, "machine": run_study.machine()} | cost)
    if history is None:
        return None
    save_supernet(supernet, weights)
    state_file.unlink(missing_ok=True)
    return supernet


def scores(supernet: Any) -> dict[str, dict[str, float]]:
    """By digest: loss and top-1 on the search part of the rank study's nets with the supernet's weights."""
    images = pays_images.training()
    nets = {net.subnet.digest: net.subnet for net in run_study.drawn() if net.arm in ("random", "smaller")}
    with torch.no_grad():
        return {
            digest: pays_train.on_search(pays_train.logits(lambda x, s=subnet: supernet(x, s), images.search), images)
            for digest, subnet in nets.items()
        }


def study(seed: int, recipe: Recipe) -> None:
    """Train and search one supernet; what has a row is not done again."""
    torch.set_num_threads(1)
    data = library_data()
    supernet = trained(seed, recipe, data)
    if supernet is None:
        return
    supernet.eval()
    done = [(row["kind"], row.get("ceiling")) for row in run_study.read(run_study.SEARCHES) if row["seed"] == seed]
    if ("scores", None) not in done:
        add("scores", seed, time.process_time(), {"scheme": SCHEME, "scores": scores(supernet)})
    for ceiling in CEILINGS:
        if ("search", ceiling) not in done:
            cpu = time.process_time()
            found = vh.search(SPACE, supernet=supernet, data=data, flops=ceiling, seed=seed).result
            choice = found.choice.subnet
            about = {"ceiling": ceiling, "digest": choice.digest, "macs": choice.macs, "subnet": choice.to_dict()}
            add("search", seed, cpu, about | {"candidates": len(found.candidates)})


def add(kind: str, seed: int, cpu: float, about: dict[str, Any]) -> None:
    cost = {"cpu_s": round(time.process_time() - cpu, 1), "machine": run_study.machine()}
    append_line(run_study.SEARCHES, {"kind": kind, "seed": seed} | about | cost)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, choices=run_study.SUPERNET_SEEDS, required=True)
    given = parser.parse_args()
    study(given.seed, supernet_recipe(DATA, len(library_data().train)))
