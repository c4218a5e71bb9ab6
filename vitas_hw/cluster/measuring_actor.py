"""What runs on each machine of a fleet: finds the target, owns the measuring process, looks at the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vitas_hw.cluster.visits import Report
from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Silent
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.conditions import Watch
from vitas_hw.profiling.place import Place, TargetAsked
from vitas_hw.profiling.protocol import TIMING, compare_with_fp32, environment_of
from vitas_hw.profiling.worker import SubnetFailedError

FindPlace = Callable[[TargetAsked, tuple[int, int]], Place]  # see ``find_place``


@dataclass(frozen=True)
class Facts:
    """What a device says of itself: its target there, and the environment."""

    place: Place
    about: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        return str(self.about["fingerprint"])

    @property
    def backend_version(self) -> str:
        return str(self.about["backend_version"])


class MeasuringActor(Silent):
    """Measures on the machine where Ray puts it; a sentence in place of a result says why it cannot."""

    def __init__(
        self, asked: TargetAsked, timeout_s: float, image_size: tuple[int, int], find_place: FindPlace
    ) -> None:
        self._asked, self._timeout_s = asked, timeout_s
        self._image_size, self._find_place = image_size, find_place
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        self._notes.append(text)

    def open(self) -> Facts | str:
        try:
            self._place = self._find_place(self._asked, self._image_size)
            self._watch = Watch(self._place.device, self._place.target.threads or 1, self)
            self._watch.look()  # before any work of ours
            self._worker = self._place.worker(TIMING, self._timeout_s)
            return Facts(self._place, environment_of(self._place, self._worker.start()))
        except VitasError as error:
            return str(error)

    def compare_with_fp32(self) -> tuple[str, ...]:
        try:
            compare_with_fp32(self._place, self._timeout_s, self)
        except VitasError as error:
            self.note(str(error))
        return self._said()

    def visit(self, subnet: Subnet, anew: bool) -> Report | str:
        conditions = None
        if anew:
            self._worker.renew()
            conditions = self._watch.look()
        try:
            return Report(self._worker.visit(subnet), conditions=conditions, notes=self._said())
        except SubnetFailedError as error:
            return Report(None, str(error), conditions, self._said())
        except VitasError as error:
            return str(error)

    def look(self) -> tuple[str, ...]:
        self._watch.look()
        return self._said()

    def _said(self) -> tuple[str, ...]:
        notes, self._notes = tuple(self._notes), []
        return notes
