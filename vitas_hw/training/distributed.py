"""The processes of one training: alone, or under torchrun."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from vitas_hw.core.errors import InputError, VitasError

_LOOK_EVERY_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """One process among all: its number, how many there are, its number on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag whether any process says so: all get the same answers, so all must ask at the same step."""
        if self.world == 1:
            return list(flags)
        votes = torch.tensor([int(flag) for flag in flags], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes)
        return [bool(count) for count in votes.tolist()]

    def on_first(self, work: Callable[[], T]) -> T:
        """What ``work`` gives in the first process, in all of them; so is a VitasError that it raises."""
        if self.world == 1:
            return work()
        held: list[Any] = [None, None]
        if self.first:
            try:
                held[0] = work()
            except VitasError as error:
                held[1] = error
        dist.broadcast_object_list(held)
        if held[1] is not None:
            raise held[1]
        result: T = held[0]
        return result


def ranks_of_environment() -> Ranks:
    """As torchrun's environment variables say; one process without them."""
    said = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    return Ranks(*(int(os.environ.get(name, alone)) for name, alone in said.items()))


@contextmanager
def joined(wanted: str) -> Iterator[tuple[Ranks, str]]:
    """Join the other processes that torchrun started: gloo on CPUs, NCCL on NVIDIA GPUs.

    Gives the ranks, and the device of this process. Args and errors as of ``pick_device``.
    """
    ranks = ranks_of_environment()
    device = pick_device(wanted, ranks)
    if ranks.world == 1:
        yield ranks, device
        return
    _end_with_the_parent()
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ranks, device
    finally:
        dist.destroy_process_group()


def _end_with_the_parent() -> None:
    """End when torchrun is gone: it stops its workers when it is asked to stop, but cannot when it is killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def pick_device(wanted: str, ranks: Ranks) -> str:
    """A torch device for this process: ``auto`` is an NVIDIA GPU if there is one, else the CPU.

    Raises:
        InputError: the device is not there.
    """
    name, _, number = wanted.partition(":")
    if number and not (name == "cuda" and number.isdigit()):
        raise InputError(
            f"There is no device {wanted!r} to train on.", "Write cpu, cuda, cuda:0 or mps.", field="device"
        )
    if number and ranks.world > 1:
        raise InputError(
            f"Each of {ranks.world} processes takes a GPU of its own, so the device cannot be {wanted}.",
            "Use `device=cuda`.",
            field="device",
        )
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = ("cuda" if there["cuda"] else "cpu") if wanted == "auto" else name
    if not there.get(kind, False):
        here = ", ".join(name for name, found in there.items() if found)
        raise InputError(
            f"There is no device {wanted!r} to train on; here: {here}.", f"Use `device={here[:3]}`.", field="device"
        )
    if kind != "cuda":
        return kind
    index = int(number or ranks.local_rank)
    if index >= torch.cuda.device_count():
        raise InputError(f"There is no device cuda:{index}; there are {torch.cuda.device_count()}.")
    torch.cuda.set_device(index)
    return f"cuda:{index}"
