"""The training loop, for supernets and plain models alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from timm.data import Mixup
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vitas_hw.core.deadline import Deadline
from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.reading import reason
from vitas_hw.data.augmentation import rngs_as_they_were, seed_rngs
from vitas_hw.data.splits import Batch, Pass, TrainPart, steps
from vitas_hw.training.callbacks import Callback
from vitas_hw.training.checkpoint import State, save_state
from vitas_hw.training.distributed import Ranks
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.precision import autocast_dtype, autocasting, deterministic
from vitas_hw.training.recipe import Recipe, Runtime

_LOOK_EVERY = {"cpu": 1}  # steps between two looks at the loss; each is a synchronisation on a GPU
_LOOK_RARELY = 20
_LEAST_SCALE = 1e-6  # of fp16 losses: below it every gradient has overflowed for long
_MOST_COMPILED = 64  # versions of a compiled block, one for each combination of widths; beyond them it runs as it is


@dataclass
class Training:
    """Trains in place what ``objective`` trains, on the runtime's device.

    Args:
        objective: the loss, and whose weights to train.
        part: the images.
        recipe: how.
        seed: of subnets, order and augmentation; the same seed and number of processes give the same weights, whether
            the training was killed and resumed or not. On CUDA this holds to the bit only with ``deterministic`` of the
            runtime: the backward pass of attention adds in any order otherwise.
        num_classes: outputs of the classifier.
        runtime: where.
        ranks: of this process.
        deadline: ends it within a step (in several processes on GPUs, within 20); the state is then in the checkpoint.
        checkpoint: where to keep the state at least each ``save_every_s`` and at the end, and the settings it belongs
            to: what has ended is not trained again.
        on_step: called after each step, in every process, with the state.
        callback: told of each epoch's loss and learning rate; in the first process only.

    Raises:
        InputError: too few images for so many processes.
    """

    objective: ModelObjective
    part: TrainPart
    recipe: Recipe
    _: KW_ONLY
    seed: int
    num_classes: int
    runtime: Runtime = Runtime()  # noqa: RUF009  # frozen
    ranks: Ranks = Ranks()  # noqa: RUF009
    deadline: Deadline = field(default_factory=Deadline)
    checkpoint: tuple[Path, dict[str, Any]] | None = None
    on_step: Callable[[State], None] = lambda _: None
    callback: Callback | None = None

    def __post_init__(self) -> None:
        objective, recipe, runtime, ranks = self.objective, self.recipe, self.runtime, self.ranks
        self.kind = runtime.device.partition(":")[0]
        self.model = objective.trained.to(runtime.device)
        self.weights = list(self.model.parameters())  # walking a model's modules anew each step takes its time
        self.steps = steps(self.part, recipe.batch_size // recipe.accumulate, ranks.world, recipe.accumulate)
        if not self.steps:
            raise InputError(f"{len(self.part)} training images are too few for {ranks.world} processes.")
        self.optimizer = create_optimizer_v2(
            self.model, opt="adamw", lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
        self.schedule = CosineLRScheduler(
            self.optimizer,
            t_initial=recipe.epochs * self.steps,
            warmup_t=recipe.warmup_epochs * self.steps,
            warmup_lr_init=recipe.lr / 100,
            warmup_prefix=False,
            t_in_epochs=False,
        )
        dtype = autocast_dtype(recipe.autocast, runtime.device)
        self.scaler = torch.amp.GradScaler(self.kind, enabled=dtype == torch.float16)
        self.ema = None if recipe.ema is None else ModelEmaV3(self.model, decay=recipe.ema)
        self.parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler}
        if self.ema is not None:
            self.parts["ema"] = self.ema.module
        self.mixup = None
        if recipe.mixup or recipe.cutmix:
            self.mixup = Mixup(
                mixup_alpha=recipe.mixup,
                cutmix_alpha=recipe.cutmix,
                label_smoothing=recipe.label_smoothing,
                num_classes=self.num_classes,
            )
        self.loss: Any = objective
        if ranks.world > 1:
            # each step runs one subnet, so most parameters are unused; accumulated batches share the step's subnet,
            # which is why DDP may wait for the last of them
            devices = None if self.kind == "cpu" else [torch.device(runtime.device)]
            self.loss = DistributedDataParallel(objective, device_ids=devices, find_unused_parameters=True)
        if runtime.compile:
            torch._dynamo.config.recompile_limit = _MOST_COMPILED  # importing timm raises it to a million
            objective.compile_parts()
        self.sum = torch.zeros((), device=runtime.device)  # of the epoch's losses: on the device until someone looks
        self.worst = torch.zeros((), device=runtime.device)  # norm of a gradient; not a number once any was not
        self.saved = time.monotonic()

    def run(self, state: State | None = None) -> list[float] | None:
        """Train; what was trained is left in evaluation mode.

        Args:
            state: to go on from.

        Returns:
            The mean loss of each epoch, or None if time ran out first; the state is then in the checkpoint.

        Raises:
            VitasError: the loss or the gradient is not finite; the last good state is kept.
        """
        state = state or State()
        self.model.train()
        if state.tensors:
            self._restore(state)
        self.sum.fill_(state.loss)
        if state.step >= self.steps:
            raise InputError(
                f"The checkpoint is at step {state.step} of an epoch that has {self.steps}.",
                "Give `fresh` to train anew.",
            )
        with rngs_as_they_were(), deterministic(self.runtime.deterministic), self.deadline.noting_signals():
            finished = self._epochs(state)
        self.model.eval()
        if not finished:
            return None
        if self.ema is not None:
            self.model.load_state_dict(self.ema.module.state_dict())
        return list(state.history)

    def _epochs(self, state: State) -> bool:
        """Whether the last epoch was reached; if not, the state is kept."""
        while state.epoch < self.recipe.epochs:
            for images, codes, last in self._groups(state):
                self._step(images, codes, state)
                # of several processes by the number of the step alone, so that all look at the same one
                look = last or state.step % _LOOK_EVERY.get(self.kind, _LOOK_RARELY) == 0
                look = look or (self.ranks.world == 1 and self.deadline.over())
                due, over = self._look(state) if look else (False, False)
                if last:
                    self._end_epoch(state)
                self.on_step(state)
                ended = state.epoch == self.recipe.epochs
                if ended or ((due or over) if self.part.can_skip else last):
                    self._save(state)
                if over and not ended:
                    return False
        return True

    def _groups(self, state: State) -> Iterator[tuple[list[Batch], Any, bool]]:
        """The batches of each optimizer step left in the epoch, its subnets, and whether it is the last."""
        recipe = self.recipe
        how = Pass(
            epoch=state.epoch,
            seed=self.seed,
            batch_size=recipe.batch_size // recipe.accumulate,
            augmentation=recipe.augmentation,
            rank=self.ranks.rank,
            world=self.ranks.world,
            skip=state.step * recipe.accumulate,
            workers=self.runtime.workers,
            device=self.runtime.device,
        )
        batches = self.part.batches(how)
        epoch = state.epoch
        for step in range(state.step, self.steps):
            group = list(islice(batches, recipe.accumulate))
            if not group:
                raise VitasError(f"The training images ended after {step} of {self.steps} steps of an epoch.")
            yield group, self.objective.codes(self.seed, epoch * self.steps + step), step + 1 == self.steps

    def _step(self, group: list[Batch], codes: Any, state: State) -> None:
        """One optimizer step; adds to the state."""
        group = [self._paired(*batch) for batch in group]
        number = state.epoch * self.steps + state.step
        self.schedule.step_update(number)
        images_in_step = sum(len(labels) for _, labels in group)
        total = torch.zeros((), device=self.runtime.device)
        for place, (images, labels) in enumerate(group):
            wait = self.ranks.world > 1 and place + 1 < len(group)
            share = len(labels) / images_in_step
            with self.loss.no_sync() if wait else nullcontext():
                self._seed(number, place)
                loss = self._forward(images, labels, codes)
                self.scaler.scale(loss * share).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() * share
        self.scaler.unscale_(self.optimizer)
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.recipe.clip_grad is not None:
            nn.utils.clip_grads_with_norm_(self.weights, self.recipe.clip_grad, norm)
        if not self.scaler.is_enabled():  # which skips a step whose gradient overflows
            self.worst = torch.maximum(self.worst, norm)
            if self.kind == "cpu" and not torch.isfinite(norm):
                raise self._not_finite(state, "gradient")  # before it reaches the weights
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)  # whole layers that the subnet does not use are left alone
        if self.ema is not None:
            self.ema.update(self.model, step=number)
        self.sum += total * images_in_step
        state.seen += images_in_step
        state.step += 1

    def _paired(self, images: Tensor, labels: Tensor) -> Batch:
        """An even number of images where they are mixed: timm mixes pairs. A single one stays, unmixed."""
        odd = len(labels) % 2 if self.mixup is not None and len(labels) > 1 else 0
        return (images[:-1], labels[:-1]) if odd else (images, labels)

    def _seed(self, number: int, place: int) -> None:
        words = (self.seed, 3, number, place, self.ranks.rank)
        seed_rngs(*words)
        if self.kind == "cuda":
            torch.cuda.manual_seed(hash(words))

    def _forward(self, images: Tensor, targets: Tensor, codes: Any) -> Tensor:
        if self.mixup is not None and len(images) > 1:
            images, targets = self.mixup(images, targets)
        with autocasting(self.recipe.autocast, self.runtime.device):
            loss: Tensor = self.loss(images, targets, codes)
        return loss

    def _look(self, state: State) -> tuple[bool, bool]:
        """Whether a checkpoint is due and whether time is up or somebody asks to stop, the same in all processes.

        Raises VitasError if the loss or the gradient of any step since is not finite.
        """
        state.loss = float(self.sum)
        good_loss = math.isfinite(state.loss)
        good_gradient = math.isfinite(float(self.worst)) and self.scaler.get_scale() >= _LEAST_SCALE
        due = time.monotonic() - self.saved >= self.runtime.save_every_s
        over = self.deadline.over()
        bad_loss, bad_gradient, due, over = self.ranks.any(not good_loss, not good_gradient, due, over)
        if bad_loss or bad_gradient:
            raise self._not_finite(state, "loss" if bad_loss else "gradient")
        return due, over

    def _not_finite(self, state: State, what: str) -> VitasError:
        kept = ""
        if self.checkpoint is not None and self.checkpoint[0].exists():
            kept = f" The last good state is kept at {self.checkpoint[0]}."
        return VitasError(
            f"The training {what} is no longer a finite number in epoch {state.epoch + 1}.{kept}",
            "Try a lower learning rate (`lr`) with `fresh`.",
        )

    def _end_epoch(self, state: State) -> None:
        state.history.append(state.loss / state.seen)
        state.epoch, state.step, state.loss, state.seen = state.epoch + 1, 0, 0.0, 0
        self.sum.zero_()
        if self.callback is not None:
            rate = float(self.optimizer.param_groups[0]["lr"])
            self.callback.metrics({"train/loss": state.history[-1], "train/lr": rate}, state.epoch)

    def _save(self, state: State) -> None:
        self.saved = time.monotonic()
        if self.checkpoint is None or not self.ranks.first:
            return
        state.tensors = {name: part.state_dict() for name, part in self.parts.items()}
        save_state(*self.checkpoint, state)
        state.tensors = {}

    def _restore(self, state: State) -> None:
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state.tensors[name])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:  # made by somebody else
            raise FileError(
                f"The checkpoint does not fit the model: {reason(error)}.", "Give `fresh` to train from the beginning."
            ) from error
        state.tensors = {}
