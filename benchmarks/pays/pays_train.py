"""Training one net of the study: a bare loop that stays as it is while the library's changes, and can be stopped.

AdamW with a cosine schedule after one epoch of warm-up. Orders and flips depend on seed and epoch alone, so that a
training that was stopped and went on ends in the same weights. torch's attention in plain products: on one core it
is faster than the fused one for heads this narrow, and the same function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from pays_images import Images
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.core import Deadline
from vitas_hw.core.files import atomic_path

_SAVE_EVERY_S = 60.0
_EVALUATED_AT_ONCE = 250


@dataclass(frozen=True)
class Recipe:
    """One for all nets, tuned on nets by hand only.

    Args:
        shift: largest shift in pixels, the border repeated.
        flip: whether half of the images are mirrored.
        erase: share of the images of which a rectangle becomes gray, of the mean (Zhong et al., arXiv 1708.04896): 0.02
            to 0.33 of the image, one side up to 3.3 times the other.
        init: of the weights, as timm calls them: ``""`` draws all with a standard deviation of 0.02, ``"jax"`` by a
            layer's width (Xavier), which is four times that for the nets of this study.
        position_std: of the positions' embedding.
    """

    epochs: int
    batch_size: int
    lr: float
    warmup_epochs: int = 1
    weight_decay: float = 0.05  # on matrices
    label_smoothing: float = 0.1
    clip_grad: float = 1.0
    flip: bool = True
    shift: int = 0
    erase: float = 0.0
    init: str = ""
    position_std: float = 0.02

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Progress:
    """Where a training stands; ``by_epoch`` on the search part, if watched; seconds over all its sittings."""

    epoch: int = 0
    step: int = 0
    sum: float = 0.0
    losses: list[float] = field(default_factory=list)
    by_epoch: list[dict[str, float]] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    sittings: int = 1


def train(
    subnet: vh.Subnet, seed: int, recipe: Recipe, images: Images, checkpoint: Path, *, watch: bool = False
) -> tuple[nn.Module, Progress] | None:
    """The trained net in evaluation mode; None if a signal asked to stop: the state is then in ``checkpoint``.

    ``watch`` evaluates on the search part after each epoch.
    """
    model = built(subnet, seed, recipe.init, recipe.position_std)
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, recipe.lr, fused=True)
    at = _resumed(model, optimizer, checkpoint, [subnet.to_dict(), seed, recipe.to_dict()])
    steps = len(images.train) // recipe.batch_size
    clock = _Clock(at)
    with Deadline().noting_signals() as deadline:
        while at.epoch < recipe.epochs:
            for batch, labels in batches(images, seed, at.epoch, at.step, recipe):
                rate = schedule((at.epoch * steps + at.step + 1) / steps, recipe)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.lr * rate
                loss = F.cross_entropy(model(batch), labels, label_smoothing=recipe.label_smoothing)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad)
                optimizer.step()
                optimizer.zero_grad()
                at.sum, at.step = at.sum + float(loss.detach()), at.step + 1
                if at.step == steps:
                    at.losses.append(round(at.sum / steps, 5))
                    at.epoch, at.step, at.sum = at.epoch + 1, 0, 0.0
                    if watch:
                        at.by_epoch.append(on_search(logits(model.eval(), images.search), images))
                        model.train()
                stop = deadline.over()  # looked at once: a signal may come between two looks
                if stop or clock.due():
                    clock.stop()
                    _save(model, optimizer, at, checkpoint, [subnet.to_dict(), seed, recipe.to_dict()])
                if stop:
                    return None
    clock.stop()
    return model.eval(), at


def built(subnet: vh.Subnet, seed: int, init: str = "", position_std: float = 0.02) -> Any:
    model = vh.build_model(subnet, seed=seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model.weight_init_mode = init  # whatever the library begins with
        model.init_weights()
        nn.init.trunc_normal_(model.pos_embed, std=position_std)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def schedule(epoch: float, recipe: Recipe) -> float:
    """Share of the peak: up to 1 over the warm-up, down to 0 at the end."""
    if epoch < recipe.warmup_epochs:
        return epoch / recipe.warmup_epochs
    done = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def batches(images: Images, seed: int, epoch: int, skip: int, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """The rest of an epoch; the last images of its order, less than a batch, are left out."""
    rng = np.random.default_rng([seed, epoch])
    count, size = len(images.train), recipe.batch_size
    order = torch.from_numpy(rng.permutation(count))
    mirrored = torch.from_numpy(rng.random(count) < 0.5)
    shifts = torch.from_numpy(rng.integers(0, 2 * recipe.shift + 1, (count, 2)))
    holes = _holes(rng, count, recipe.erase) if recipe.erase else None
    for start in range(skip * size, count - size + 1, size):
        chosen = order[start : start + size]
        batch = images.train[chosen]
        if recipe.flip:
            batch = torch.where(mirrored[chosen][:, None, None, None], batch.flip(3), batch)
        if recipe.shift:
            batch = _shifted(batch, shifts[chosen], recipe.shift)
        if holes is not None:
            batch = _erased(batch, holes[chosen])
        yield batch, images.train_labels[chosen]


def _shifted(batch: Tensor, shifts: Tensor, most: int) -> Tensor:
    padded = F.pad(batch, (most,) * 4, mode="replicate")
    rows, columns = (shifts[:, axis, None] + torch.arange(batch.shape[2 + axis]) for axis in (0, 1))
    return padded[torch.arange(len(batch))[:, None, None], 0, rows[:, :, None], columns[:, None]][:, None]


def _holes(rng: np.random.Generator, count: int, share: float) -> Tensor:
    """(count, 4): top, left, bottom, right as shares of the sides; empty ones for images that stay whole."""
    area, aspect = rng.uniform(0.02, 1 / 3, count), np.exp(rng.uniform(-np.log(3.3), np.log(3.3), count))
    sides = np.minimum(np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], 1), 1.0)
    sides *= (rng.random(count) < share)[:, None]
    first = rng.random((count, 2)) * (1 - sides)
    return torch.from_numpy(np.concatenate([first, first + sides], 1))


def _erased(batch: Tensor, holes: Tensor) -> Tensor:
    """Pixels whose centre is in the hole become 0, the mean of normalised images."""
    rows, columns = ((torch.arange(size) + 0.5) / size for size in batch.shape[2:])
    inside = (rows > holes[:, :1]) & (rows < holes[:, 2:3])
    beside = (columns > holes[:, 1:2]) & (columns < holes[:, 3:])
    return batch.masked_fill((inside[:, :, None] & beside[:, None])[:, None], 0.0)


@torch.inference_mode()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """(N, classes)."""
    return torch.cat([model(some) for some in images.split(_EVALUATED_AT_ONCE)])


def on_search(found: Tensor, images: Images) -> dict[str, float]:
    right = found.argmax(1) == images.search_labels
    loss = F.cross_entropy(found, images.search_labels)
    return {"top1": round(float(right.double().mean()), 5), "loss": round(float(loss), 5)}


def classes(found: Tensor) -> npt.NDArray[np.uint8]:
    return found.argmax(1).to(torch.uint8).numpy()


class _Clock:
    """Adds the seconds since the last look to the progress."""

    def __init__(self, at: Progress) -> None:
        self.at, self.saved = at, time.perf_counter()
        self.wall, self.cpu = self.saved, time.process_time()

    def due(self) -> bool:
        return time.perf_counter() - self.saved >= _SAVE_EVERY_S

    def stop(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.at.wall_s, self.at.cpu_s = self.at.wall_s + wall - self.wall, self.at.cpu_s + cpu - self.cpu
        self.wall, self.cpu, self.saved = wall, cpu, wall


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, at: Progress, path: Path, settings: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"settings": repr(settings), "at": asdict(at)}
    with atomic_path(path) as temporary:
        torch.save(state | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, temporary)


def _resumed(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path, settings: Any) -> Progress:
    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=True)
    if state["settings"] != repr(settings):
        raise SystemExit(f"{path} is of a training with other settings; remove it to begin anew.")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    at = Progress(**state["at"])
    at.sittings += 1
    return at
