"""What runs on each machine of a fleet: finds the target, owns the measuring process, looks at the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from vitas_hw.cluster.visits import Report
from vitas_hw.core.errors import VitasError
from vitas_hw.core.progress import Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.recording import TIMING, Watch, about_of, compare_with_fp32
from vitas_hw.profiling.worker import SubnetFailedError


class Asked(Protocol):
    """A profiling's settings, as far as they concern each machine: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def device(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def timeout_s(self) -> float: ...


FindPlace = Callable[[Any, SearchSpace], Place]  # settings, space


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


class Station(Silent):
    """Measures on the machine where Ray puts it; a sentence in place of a result says why it cannot."""

    def __init__(self, settings: Asked, space: SearchSpace, find_place: FindPlace) -> None:
        self._settings, self._space, self._find_place = settings, space, find_place
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        self._notes.append(text)

    def open(self) -> Facts | str:
        try:
            self._place = self._find_place(self._settings, self._space)
            self._watch = Watch(self._place, self)
            self._watch.look()  # before any work of ours
            self._worker = self._place.worker(TIMING, self._settings.timeout_s)
            return Facts(self._place, about_of(self._place, self._worker.start()))
        except VitasError as error:
            return str(error)

    def compare_with_fp32(self) -> tuple[str, ...]:
        try:
            compare_with_fp32(self._place, self._settings.timeout_s, self)
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
