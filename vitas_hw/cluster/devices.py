"""The machines of a Ray cluster as devices to measure on. Ray is imported here only, and only when it is asked for."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Any

from vitas_hw.cluster.measuring_actor import Facts, FindPlace, Station
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import TargetAsked

_START = "Start one with: ray start --head, then on each other machine: ray start --address=<the head's address>"
_REACH_S = 10.0
_OPEN_S = 300.0  # loading everything, the first time on a cold disk
_LOOK_S = 60.0
_Ray = Any  # the module
_Ticket = Any  # a reference to a result on its way


@dataclass(frozen=True)
class Device:
    """A device that takes part: a name that no other has, what it says of itself, and the process that serves it."""

    name: str
    facts: Facts
    actor: Any = field(repr=False)


@contextmanager
def connected(address: str) -> Iterator[_Ray]:
    """Ray, connected to a cluster; left again at the end unless the caller was connected before.

    Raises:
        VitasError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise VitasError("Ray is not installed.", "pip install 'vitas-hw[ray]'") from error
    with redirect_stdout(sys.stderr):  # Ray prints there what happened to its machines
        if ray.is_initialized():
            yield ray
            return
        if address == "auto":
            address = os.environ.get("RAY_ADDRESS") or address
        if not _answers(address):
            raise VitasError(f"No Ray cluster answers at {address}.", _START)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except ConnectionError as error:
            raise VitasError("This machine belongs to no Ray cluster.", _START) from error
        except (RuntimeError, ValueError) as error:  # other versions of Ray or Python there, an address that is none
            raise VitasError(f"Cannot use the Ray cluster at {address}: {sentence(error)}", _START) from error
        try:
            yield ray
        finally:
            ray.shutdown()


class Cluster:
    """The devices of a cluster that can measure; all their processes end with it.

    Args:
        ray: connected.
        asked: device ``cpu`` takes each machine with as many CPUs as threads, ``cuda`` each GPU.
        timeout_s: of one visit.
        image_size: of the subnets, (height, width).
        find_place: how each machine finds the target on itself.
        progress: where to say who takes no part, and what the machines have to say.

    Raises:
        InputError: another device.
        VitasError: no machine can measure.
    """

    def __init__(
        self,
        ray: _Ray,
        asked: TargetAsked,
        timeout_s: float,
        image_size: tuple[int, int],
        find_place: FindPlace,
        progress: Progress,
    ) -> None:
        kind = asked.device.split(":")[0]
        if kind not in ("cpu", "cuda"):
            raise InputError(
                f"A cluster has the devices cpu and cuda, not {asked.device!r}.", field="device", value=asked.device
            )
        # each GPU is the only one that its process sees
        asked = replace(asked, device="cuda:0" if kind == "cuda" else "cpu")
        self._ray, self._progress = ray, progress
        self._actors: list[Any] = []
        self.devices: list[Device] = []
        try:
            self._open(asked, (asked, timeout_s, image_size, find_place))
        except BaseException:
            self.close()
            raise

    def visit(self, device: Device, subnet: Subnet, anew: bool) -> _Ticket:
        """Start a visit there; ``result`` has its end."""
        return device.actor.visit.remote(subnet, anew)

    def first_done(self, tickets: Collection[_Ticket]) -> _Ticket:
        """Wait for any one."""
        return self._ray.wait(list(tickets), num_returns=1)[0][0]

    def result(self, ticket: _Ticket) -> Any:
        """What came back, or a sentence that says why nothing can come from there any more."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ticket)
        except errors.RayTaskError:
            raise  # a bug of ours
        except errors.RayError as error:
            return sentence(error)

    def leave_out(self, device: Device) -> None:
        """Have nothing more to do with a device."""
        self.devices.remove(device)
        self._ray.kill(device.actor)

    def compare_with_fp32(self, device: Device) -> None:
        """Say it if the precision asked for is slower there than float32."""
        self._repeat(device, self.result(device.actor.compare_with_fp32.remote()))

    def look(self) -> None:
        """Say what there is to say of the machines at the end."""
        tickets = {device.actor.look.remote(): device for device in self.devices}
        for ticket in self._ray.wait(list(tickets), num_returns=len(tickets), timeout=_LOOK_S)[0] if tickets else []:
            self._repeat(tickets[ticket], self.result(ticket))

    def close(self) -> None:
        """End all processes on all machines."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repeat(self, device: Device, notes: tuple[str, ...] | str) -> None:
        for note in () if isinstance(notes, str) else notes:  # a device that is lost is told of at its next visit
            self._progress.note(f"{device.name}: {note}")

    def _open(self, asked: TargetAsked, arguments: tuple[Any, ...]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        needs = {"num_cpus": 0, "num_gpus": 1} if asked.device != "cpu" else {"num_cpus": asked.threads}
        station = self._ray.remote(Station)
        tickets = {}
        for name, node in _places(self._ray.nodes(), asked):
            here = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = station.options(scheduling_strategy=here, max_restarts=0, **needs).remote(*arguments)
            self._actors.append(actor)
            tickets[actor.open.remote()] = name, actor
        if asked.device == "cpu" and any("#" in name for name, _ in tickets.values()):
            self._progress.note("warning: some nodes of the cluster are one machine: they slow each other down")
        done, late = self._ray.wait(list(tickets), num_returns=len(tickets), timeout=_OPEN_S) if tickets else ([], [])
        answers = {ticket: self.result(ticket) for ticket in done}
        answers |= dict.fromkeys(late, f"no answer in {_OPEN_S:g} s: is all of it in use? See: ray status")
        for ticket, (name, actor) in tickets.items():
            if isinstance(answers[ticket], str):
                self._progress.note(f"warning: {name} takes no part: {answers[ticket]}")
                self._ray.kill(actor)
            else:
                self.devices.append(Device(name, answers[ticket], actor))
        if not self.devices:
            wanted = "GPU" if asked.device != "cpu" else f"machine of at least {asked.threads} CPUs"
            reasons = sorted(set(answers.values()))
            raise VitasError(
                f"No {wanted} in the cluster can be measured on. {' '.join(reasons)}".rstrip(), "See: ray status"
            )


def _places(nodes: list[dict[str, Any]], asked: TargetAsked) -> list[tuple[str, str]]:
    """A name and the node's id for each device of the cluster."""
    found = []
    for node in sorted(nodes, key=lambda node: (node["NodeManagerHostname"], node["NodeID"])):
        has = node["Resources"] if node["Alive"] else {}
        count = int(has.get("GPU", 0)) if asked.device != "cpu" else int(has.get("CPU", 0) >= asked.threads)
        found += [(node["NodeManagerHostname"], node["NodeID"])] * count
    hosts = [host for host, _ in found]
    return [
        (host if hosts.count(host) == 1 else f"{host}#{hosts[:index].count(host) + 1}", node)
        for index, (host, node) in enumerate(found)
    ]


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


def sentence(error: Exception) -> str:
    """Ray's errors are pages, with what happened at the end."""
    last = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
    return last if last.endswith(".") else f"{last}."
