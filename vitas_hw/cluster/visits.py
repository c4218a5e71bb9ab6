"""One profiling spread over several devices of the same hardware: who visits what next. Knows nothing of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import Pass, keep_failure
from vitas_hw.profiling.timing import Visit


@dataclass(frozen=True)
class Report:
    """What a device says of a visit.

    Args:
        visit: its samples; None if the subnet cannot run there.
        refused: why it cannot,
        passing: and whether it may another time, see ``SubnetFailedError``.
        conditions: of the machine when its round began, in the first visit of a round.
        notes: what people should know of the machine.
    """

    visit: Visit | None
    refused: str = ""
    passing: bool = False
    conditions: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Errand:
    """A visit that a device has to make now.

    Args:
        device: its name.
        subnet: what to visit.
        measurement: for which of them; what is built for one is not used by another.
        anew: whether the device has to forget all that is built before.
    """

    device: str
    subnet: Subnet
    measurement: str
    anew: bool


class Spread:
    """Hands out the visits of ``passes`` to devices, one at a time to each, and keeps what they bring.

    Ask ``errands`` for what is to be started now; tell each one's end with ``keep`` or ``lose``; ask again, until
    nothing is to be started and nothing is under way.

    Args:
        devices: their names, without repeats.
        plan: the passes of the measurements, in order. No pass begins before the one before it is over.
        journal: keeps each visit; those it already holds are not repeated.
        away_from: a measurement's name to that of another: where two devices are left, no visit of the first is made
            by the device that made the other's visit of the same round.
        on_visit: called once for each subnet, round and measurement.
        time_is_up: for a measurement, by its name: no visit of it is started any more.
    """

    def __init__(
        self,
        devices: Iterable[str],
        plan: Iterable[Pass],
        journal: Journal,
        *,
        away_from: dict[str, str],
        on_visit: Callable[[], None] = lambda: None,
        time_is_up: Callable[[str], bool] = lambda name: False,  # noqa: ARG005
    ) -> None:
        self._idle = list(devices)
        self._under_way: dict[str, Subnet] = {}
        self._plan = iter(plan)
        self._now: Pass  # while anything is queued or under way
        self._queue: list[Subnet] = []
        self._begun: dict[str, tuple[str, int]] = {}
        self._journal, self._away_from, self._on_visit = journal, away_from, on_visit
        self._time_is_up = time_is_up
        self.whole = True  # but for what the time has cut

    def errands(self) -> list[Errand]:
        """What is to be started now; nothing while all devices are busy, or when all is done."""
        while True:
            found = [errand for device in list(self._idle) if (errand := self._errand(device)) is not None]
            if found or self._under_way or (following := next(self._plan, None)) is None:
                return found
            self._now, self._queue = following, list(following.order)

    def keep(self, device: str, report: Report) -> None:
        """A device is back. Raises VitasError if nothing runs at all."""
        subnet, pass_ = self._under_way.pop(device), self._now
        self._idle.append(device)
        if report.conditions is not None:
            self._journal.add_conditions(pass_.name, pass_.round_, {"device": device, **report.conditions})
        if report.visit is None:
            keep_failure(self._journal, subnet, report.refused, passing=report.passing)
        else:
            self._journal.add_visit(pass_.name, pass_.round_, subnet.digest, report.visit, device=device)
        self._count()

    def lose(self, device: str, reason: str) -> None:
        """A device will not come back: its visit goes to the others. Raises VitasError if it was the last one."""
        self._queue.insert(0, self._under_way.pop(device))
        if not (self._idle or self._under_way):
            made = sum(map(len, self._journal.attempts.values()))
            raise VitasError(
                f"The last device, {device}, is lost: {reason} {made} visits are kept in {self._journal.path}.",
                "Repeat the command to resume.",
            )

    def _errand(self, device: str) -> Errand | None:
        for subnet in list(self._queue):
            if not self._now.unsettled(self._journal, subnet):
                self._queue.remove(subnet)
                self._count()
            elif self._time_is_up(self._now.name):
                self._queue.clear()
                self.whole = False
                return None
            elif not self._is_for_others(device, subnet):
                self._queue.remove(subnet)
                self._idle.remove(device)
                self._under_way[device] = subnet
                round_ = (self._now.name, self._now.round_)
                anew = self._begun.get(device) != round_
                self._begun[device] = round_
                return Errand(device, subnet, self._now.name, anew)
        return None

    def _is_for_others(self, device: str, subnet: Subnet) -> bool:
        other = self._away_from.get(self._now.name, "")
        made_by = self._journal.devices.get((other, self._now.round_, subnet.digest))
        return made_by == device and len(self._idle) + len(self._under_way) > 1

    def _count(self) -> None:
        if self._now.attempt == 0:
            self._on_visit()
