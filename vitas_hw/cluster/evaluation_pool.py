"""The workers of a Ray cluster as a pool that evaluates subnets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vitas_hw.cluster.connection import Actor, Connection, Ticket, connected
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.searching.engine import Job, Scorer


@dataclass(frozen=True)
class RayWorkers:
    """Which workers a search asks for.

    Args:
        address: of the cluster; ``auto`` is the one that this machine belongs to.
        gpus: of each worker, a share or a whole number; 0 takes CPUs, None one GPU where the cluster has any.
    """

    address: str = "auto"
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.gpus is not None and not (0 <= self.gpus <= 1 or float(self.gpus).is_integer()):
            raise InputError(
                f"A worker has a share of a GPU or whole ones, not {self.gpus:g}.",
                "Try `ray_gpus=0.5`, 1 or 0.",
                field="ray_gpus",
            )


class Examiner:
    """Evaluates where Ray puts it."""

    def __init__(self, scorer: Scorer, device: str) -> None:
        import torch

        if device == "cpu":
            torch.set_num_threads(1)  # one worker a CPU
        self._scorer = scorer.to(device)

    def ready(self) -> None:
        """Everything is loaded."""

    def score(self, job: Job) -> float:
        return float(self._scorer(job))


class RayPool:
    """As many workers as the cluster has CPUs, or GPUs times their share.

    Args:
        cluster: connected.
        gpus: of each worker; see ``RayWorkers``.
        most: workers that can ever be busy.

    Raises:
        VitasError: the cluster has no such device.
    """

    def __init__(self, cluster: Connection, gpus: float | None, most: int) -> None:
        nodes = [node["Resources"] for node in cluster.nodes()]
        if gpus is None:
            gpus = 1.0 if any(has.get("GPU", 0) >= 1 for has in nodes) else 0.0
        self.device = "cuda" if gpus else "cpu"
        self._needs = {"num_cpus": 0, "num_gpus": gpus} if gpus else {"num_cpus": 1}
        room = sum(int(has.get("GPU", 0) / gpus + 1e-9) if gpus else int(has.get("CPU", 0)) for has in nodes)
        if not room:
            raise VitasError(f"No {'GPU' if gpus else 'CPU'} in the cluster can be worked on.", "See: ray status")
        self.places = min(room, most)
        self._cluster = cluster
        self._scorer: Ticket = None
        self._workers: dict[int, Actor] = {}

    def load(self, scorer: Scorer) -> None:
        """Put what the workers score by (on the CPU) into the cluster."""
        self._scorer = self._cluster.put(scorer)

    def hire(self, place: int) -> Ticket:
        if place in self._workers:
            self._cluster.end(self._workers[place])
        self._workers[place] = self._cluster.start(Examiner, self._scorer, self.device, **self._needs)
        return self._workers[place].ready.remote()

    def evaluate(self, place: int, job: Job) -> Ticket:
        return self._workers[place].score.remote(job)

    def first_done(self, tickets: Collection[Ticket], timeout_s: float | None) -> Ticket | None:
        return next(iter(self._cluster.done(tickets, timeout_s, first=True)), None)

    def result(self, ticket: Ticket) -> float | str | None:
        answer: float | str | None = self._cluster.result(ticket)
        return answer


@contextmanager
def ray_pool(asked: RayWorkers, most: int) -> Iterator[RayPool]:
    """A pool while it is needed.

    Raises:
        VitasError: Ray is not installed, no cluster answers, or it has no such device.
    """
    with connected(asked.address) as cluster:
        yield RayPool(cluster, asked.gpus, most)
