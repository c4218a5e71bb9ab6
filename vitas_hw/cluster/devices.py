"""The machines of a Ray cluster as devices to measure on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitas_hw.cluster.connection import Actor, Connection, Ticket
from vitas_hw.cluster.visits import Errand, Report
from vitas_hw.core.deadline import NEVER, Deadline
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import Progress, Silent
from vitas_hw.core.target import Target
from vitas_hw.profiling.conditions import Watch
from vitas_hw.profiling.place import TargetAsked, find_place
from vitas_hw.profiling.protocol import TIMING, compare_with_fp32, environment_of
from vitas_hw.profiling.worker import SubnetFailedError

_OPEN_S = 300.0  # loading everything, the first time on a cold disk
_LOOK_S = 60.0


class MeasuringActor(Silent):
    """Measures on the machine where Ray puts it; a sentence in place of a result says why it cannot."""

    def __init__(self, asked: TargetAsked, timeout_s: float, image_size: tuple[int, int]) -> None:
        self._asked, self._timeout_s, self._image_size = asked, timeout_s, image_size
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        self._notes.append(text)

    def open(self) -> tuple[Target, dict[str, Any]] | str:
        """The target here, and the environment."""
        try:
            self._place = find_place(self._asked, self._image_size)
            self._watch = Watch(self._place.device, self._place.target.threads or 1, self)
            self._watch.look()  # before any work of ours
            self._built = TemporaryDirectory(prefix="vitas-hw-")  # engines of this profiling
            self._worker = self._place.worker(TIMING, self._timeout_s, Path(self._built.name))
            return self._place.target, environment_of(self._place, self._worker.start())
        except VitasError as error:
            return str(error)

    def compare_with_fp32(self) -> tuple[str, ...]:
        try:
            compare_with_fp32(self._place, self._timeout_s, self)
        except VitasError as error:
            self.note(str(error))
        return self._said()

    def visit(self, errand: Errand) -> Report | str:
        conditions = None
        if errand.anew:
            self._worker.renew(errand.measurement)
            conditions = self._watch.look()
        try:
            return Report(self._worker.visit(errand.subnet), conditions=conditions, notes=self._said())
        except SubnetFailedError as error:
            return Report(None, str(error), error.passing, conditions, self._said())
        except VitasError as error:
            return str(error)

    def look(self) -> tuple[str, ...]:
        self._watch.look()
        return self._said()

    def close(self) -> None:
        """End the measuring process and remove what it built."""
        self._worker.close()
        self._built.cleanup()

    def _said(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes


@dataclass(frozen=True)
class Device:
    """A device that takes part.

    Args:
        name: that no other has.
        target: as it is called there.
        about: its environment, with ``fingerprint`` and ``backend_version``.
        actor: the process that serves it.
    """

    name: str
    target: Target
    about: dict[str, Any]
    actor: Actor = field(repr=False)


class Devices:
    """The devices of a cluster that can measure.

    Args:
        cluster: connected.
        asked: device ``cpu`` takes each machine with as many CPUs as threads, ``cuda`` each GPU.
        timeout_s: of one visit.
        image_size: of the subnets, (height, width).
        progress: where to say who takes no part, and what the machines have to say.
        deadline: when to stop waiting for machines.

    Raises:
        InputError: another device.
        TimeIsUpError: before the machines were ready.
        VitasError: no machine can measure.
    """

    def __init__(
        self,
        cluster: Connection,
        asked: TargetAsked,
        timeout_s: float,
        image_size: tuple[int, int],
        progress: Progress,
        deadline: Deadline = NEVER,
    ) -> None:
        kind = asked.device.split(":")[0]
        if kind not in ("cpu", "cuda"):
            raise InputError(
                f"A cluster has the devices cpu and cuda, not {asked.device!r}.", field="device", value=asked.device
            )
        # each GPU is the only one that its process sees
        asked = replace(asked, device="cuda:0" if kind == "cuda" else "cpu")
        self._cluster, self._progress = cluster, progress
        self.all: list[Device] = []
        needs = {"num_cpus": 0, "num_gpus": 1} if asked.device != "cpu" else {"num_cpus": asked.threads}
        tickets = {}
        for name, node in _places(cluster.nodes(), asked):
            actor = cluster.start(MeasuringActor, asked, timeout_s, image_size, node=node, **needs)
            tickets[actor.open.remote()] = name, actor
        if asked.device == "cpu" and any("#" in name for name, _ in tickets.values()):
            progress.note("warning: some nodes of the cluster are one machine: they slow each other down")
        answers: dict[Ticket, Any] = dict.fromkeys(
            tickets, f"no answer in {_OPEN_S:g} s: is all of it in use? See: ray status"
        )
        ready = cluster.done(tickets, min(_OPEN_S, deadline.left()))
        deadline.check("the machines were ready")
        answers |= {ticket: cluster.result(ticket) for ticket in ready}
        for ticket, (name, actor) in tickets.items():
            if isinstance(answers[ticket], str):
                progress.note(f"warning: {name} takes no part: {answers[ticket]}")
                cluster.end(actor)
            else:
                target, about = answers[ticket]
                self.all.append(Device(name, target, about, actor))
        if not self.all:
            wanted = "GPU" if asked.device != "cpu" else f"machine of at least {asked.threads} CPUs"
            reasons = sorted(set(answers.values()))
            raise VitasError(
                f"No {wanted} in the cluster can be measured on. {' '.join(reasons)}".rstrip(), "See: ray status"
            )

    def visit(self, device: Device, errand: Errand) -> Ticket:
        """Start a visit there."""
        return device.actor.visit.remote(errand)

    def leave_out(self, device: Device) -> None:
        """Have nothing more to do with a device."""
        self.all.remove(device)
        self._cluster.end(device.actor)

    def compare_with_fp32(self, device: Device) -> None:
        """Say it if the precision asked for is slower there than float32."""
        self._repeat(device, self._cluster.result(device.actor.compare_with_fp32.remote()))

    def look(self) -> None:
        """Say what there is to say of the machines at the end."""
        tickets = {device.actor.look.remote(): device for device in self.all}
        for ticket in self._cluster.done(tickets, _LOOK_S):
            self._repeat(tickets[ticket], self._cluster.result(ticket))

    def close(self) -> None:
        """Have the devices clear up, those that still answer."""
        self._cluster.done([device.actor.close.remote() for device in self.all], _LOOK_S)

    def _repeat(self, device: Device, notes: tuple[str, ...] | str) -> None:
        for note in () if isinstance(notes, str) else notes:  # a device that is lost is told of at its next visit
            self._progress.note(f"{device.name}: {note}")


def _places(nodes: list[dict[str, Any]], asked: TargetAsked) -> list[tuple[str, str]]:
    """A name and the node's id for each device of the cluster."""
    found = []
    for node in sorted(nodes, key=lambda node: (node["NodeManagerHostname"], node["NodeID"])):
        has = node["Resources"]
        count = int(has.get("GPU", 0)) if asked.device != "cpu" else int(has.get("CPU", 0) >= asked.threads)
        found += [(node["NodeManagerHostname"], node["NodeID"])] * count
    hosts = [host for host, _ in found]
    return [
        (host if hosts.count(host) == 1 else f"{host}#{hosts[:index].count(host) + 1}", node)
        for index, (host, node) in enumerate(found)
    ]
