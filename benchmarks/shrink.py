"""A vision transformer made smaller, from weights that are already there.

    python benchmarks/shrink.py original [--epochs 30] [--images N]    # train the model to start from

No weights can be downloaded here, so the original is trained here: timm's own ``VisionTransformer``, 28 x 28, patches
of 4, embedding 64, six blocks of four heads, on all training images of Fashion-MNIST (Debian: apt-get install
dataset-fashion-mnist) but the search part. It is kept in half precision, under 1 MB, as
``results/shrink/original.safetensors``; what trained it, and its top-1, stand beside it.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench_tools import RESULTS, write

import vitas_hw as vh

FOLDER = RESULTS / "shrink"
ORIGINAL = vh.Subnet((28, 28), 1, 4, 64, (vh.Block(4, 16, 256),) * 6, 10)
EPOCHS = 30


def recipe(epochs: int) -> Any:
    """Of a training from scratch on Fashion-MNIST: shifts and mirror images, a higher peak as the net is small."""
    from vitas_hw.data.augmentation import Augmentation
    from vitas_hw.training.recipe import FASHION, of_length

    return replace(of_length(FASHION, epochs), lr=2e-3, augmentation=Augmentation(hflip=0.5, max_shift=0.08))


def train_original(epochs: int, images: int | None, seed: int, folder: Path) -> dict[str, Any]:
    """Train and keep it; its recipe, top-1 and time."""
    import torch
    from timm.models.vision_transformer import VisionTransformer

    from vitas_hw.supernet.weights_file import load_model, save_model
    from vitas_hw.training.evaluate import accuracy
    from vitas_hw.training.objective import ModelObjective
    from vitas_hw.training.recipe import Runtime
    from vitas_hw.training.trainer import Training

    started, load, cpu = time.perf_counter(), os.getloadavg()[0], time.process_time()
    data, how, block = vh.load_data("fashion-mnist", ORIGINAL), recipe(epochs), ORIGINAL.blocks[0]
    part = data.train if images is None else data.train.subset(range(images))  # type: ignore[attr-defined]
    torch.manual_seed(seed)
    model = VisionTransformer(
        img_size=ORIGINAL.image_size,
        patch_size=ORIGINAL.patch_size,
        in_chans=ORIGINAL.in_chans,
        num_classes=ORIGINAL.num_classes,
        embed_dim=ORIGINAL.embed_dim,
        depth=ORIGINAL.depth,
        num_heads=block.num_heads,
        mlp_ratio=block.mlp_dim / ORIGINAL.embed_dim,
    )
    history = Training(ModelObjective(model, how), part, how, seed=seed, num_classes=10, runtime=Runtime()).run()
    assert history is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "original.safetensors"
    save_model(model.half(), ORIGINAL, path)
    kept, _ = load_model(path)
    found = {
        "top1": {name: accuracy(kept, getattr(data, name)).top1 for name in ("search", "test")},
        "images": len(part),
        "bytes": path.stat().st_size,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "losses": [round(loss, 4) for loss in history],
    }
    about = {"subnet": ORIGINAL.to_dict(), "recipe": asdict(how), "seed": seed}
    write(folder / "original.json", about | found, {"threads": torch.get_num_threads()}, load)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("step", choices=["original"])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, help="train on so many only, to try it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    found = train_original(given.epochs, given.images, given.seed, given.out)
    print(f"top-1 {found['top1']}, {found['bytes']:,} bytes, {found['seconds']} s")


if __name__ == "__main__":
    main()
