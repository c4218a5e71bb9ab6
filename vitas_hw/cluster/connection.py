"""A Ray cluster and the processes that we start in it. Ray is imported here, and only when a cluster is asked for."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from vitas_hw.core.errors import VitasError

_START = "Start one with: ray start --head, then on each other machine: ray start --address=<the head's address>"
_REACH_S = 10.0
Actor = Any  # a process in the cluster
Ticket = Any  # a reference to a result on its way


class Connection:
    """A cluster; every process started in it ends with the connection."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._actors: list[Actor] = []

    def nodes(self) -> list[dict[str, Any]]:
        """The machines, with what each of them has."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def put(self, value: object) -> Ticket:
        """A value kept in the cluster: once, and each machine takes it once."""
        return self._ray.put(value)

    def start(self, kind: type, *arguments: object, node: str = "", **needs: float) -> Actor:
        """An object of ``kind`` in a process of its own, which is not started again when it is lost.

        Args:
            kind: its class.
            arguments: of the class.
            node: where, by its id; empty spreads them over the machines.
            needs: ``num_cpus``, ``num_gpus``.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(node, soft=False) if node else "SPREAD"
        options = {"max_restarts": 0, "scheduling_strategy": where, **needs}
        actor = self._ray.remote(kind).options(**options).remote(*arguments)
        self._actors.append(actor)
        return actor

    def done(self, tickets: Collection[Ticket], timeout_s: float | None = None, *, first: bool = False) -> list[Ticket]:
        """Wait for all of them, or for the first one; those that are done by then."""
        if not tickets:
            return []
        found: list[Ticket] = self._ray.wait(
            list(tickets), num_returns=1 if first else len(tickets), timeout=timeout_s
        )[0]
        return found

    def result(self, ticket: Ticket) -> Any:
        """What came back, or a sentence that says why nothing can come from there any more."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ticket)
        except errors.RayTaskError:
            raise  # a bug of ours
        except errors.RayError as error:
            return _sentence(error)

    def end(self, actor: Actor) -> None:
        """End a process, whatever it does."""
        self._actors.remove(actor)
        self._ray.kill(actor)

    def end_all(self) -> None:
        """End all processes on all machines."""
        for actor in list(self._actors):
            self.end(actor)


@contextmanager
def connected(address: str) -> Iterator[Connection]:
    """A cluster while it is needed; left again at the end unless the caller was connected before.

    Raises:
        VitasError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise VitasError("Ray is not installed.", "pip install 'vitas-hw[ray]'") from error
    with redirect_stdout(sys.stderr):  # Ray prints there what happened to its machines
        cluster = Connection(ray)
        was_connected = ray.is_initialized()
        if not was_connected:
            _connect(ray, address)
        try:
            yield cluster
        finally:
            cluster.end_all()
            if not was_connected:
                ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if not _answers(address):
        raise VitasError(f"No Ray cluster answers at {address}.", _START)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        raise VitasError("This machine belongs to no Ray cluster.", _START) from error
    except (RuntimeError, ValueError) as error:  # other versions of Ray or Python there, an address that is none
        raise VitasError(f"Cannot use the Ray cluster at {address}: {_sentence(error)}", _START) from error


def _answers(address: str) -> bool:
    """Whether anything listens there: Ray itself would wait for minutes. True if that cannot be told."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError:
        return False
    return True


def _sentence(error: Exception) -> str:
    """Ray's errors are pages, with what happened at the end."""
    last = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
    return last if last.endswith(".") else f"{last}."
