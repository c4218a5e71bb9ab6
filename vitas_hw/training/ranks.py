"""The processes of one training: alone, or under torchrun."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from vitas_hw.core.errors import InputError

_LOOK_EVERY_S = 1.0


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

    def any(self, flag: bool) -> bool:
        """Whether any process says so: all get the same answer."""
        if self.world == 1:
            return flag
        votes = torch.tensor([int(flag)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(votes)
        return bool(votes.item())

    def from_first(self, value: Any) -> Any:
        """The first process's value, in all of them."""
        if self.world == 1:
            return value
        held = [value if self.first else None]
        dist.broadcast_object_list(held)
        return held[0]


def ranks_of_environment() -> Ranks:
    """As torchrun's environment variables say; one process without them."""
    return Ranks(*(int(os.environ.get(name, default)) for name, default in _VARIABLES.items()))


_VARIABLES = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other processes that torchrun started: gloo on CPUs, NCCL on NVIDIA GPUs.

    Args:
        device: ``cpu``, ``cuda`` ….
    """
    ranks = ranks_of_environment()
    if ranks.world == 1:
        yield ranks
        return
    _end_with_the_parent()
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield ranks
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
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = ("cuda" if there["cuda"] else "cpu") if wanted == "auto" else wanted.partition(":")[0]
    if not there.get(kind, False):
        here = ", ".join(name for name, found in there.items() if found)
        raise InputError(f"There is no device {wanted!r} to train on; here: {here}.", f"Use --device {here[:3]}")
    if kind != "cuda":
        return kind
    index = int(wanted.partition(":")[2] or ranks.local_rank)
    if index >= torch.cuda.device_count():
        raise InputError(f"There is no device cuda:{index}; there are {torch.cuda.device_count()}.")
    torch.cuda.set_device(index)
    return f"cuda:{index}"
