"""Cores of this machine for one measurement at a time: two that share a core both come out twice as slow, and alike."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.profiling.conditions import cores_for

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Cores:
    """Logical CPUs for a measuring process of ``threads`` threads, held against all other measurements on this machine.

    Each is locked by a file in the system's temporary folder, which the system lets go when this process ends. A
    process that measures by several workers in turn gives all of them the same cores.

    Args:
        threads: one physical core for each.
        folder: where the locks are.
    """

    def __init__(self, threads: int, folder: Path | None = None) -> None:
        self._threads, self._folder = threads, folder or Path(tempfile.gettempdir())
        self._locks: list[BaseFileLock] = []
        self._numbers: list[int] | None = None
        self.shared = False  # whether another measurement is on them too, for want of others

    def hold(self) -> list[int] | None:
        """The cores; None where the platform cannot pin, or where no core would be left for everything else."""
        if self._numbers is None:
            cores = cores_for(self._threads)
            if cores is None:
                return None
            free: list[int] = []
            for core in cores:
                if len(free) < self._threads and self._take(core):
                    free.append(core)
            self.shared = len(free) < self._threads
            if self.shared:
                self._let_go()
            self._numbers = cores[: self._threads] if self.shared else free
        return self._numbers

    def release(self) -> None:
        """Let others have them."""
        self._let_go()
        self._numbers = None

    def _take(self, core: int) -> bool:
        from filelock import FileLock, Timeout

        # one lock a file in this process, so that its own workers do not lock each other out
        lock = FileLock(self._folder / f"vitas-hw-core-{core}.lock", mode=0o666, is_singleton=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError:  # no lock can be had there, so none tells of another measurement
            return True
        self._locks.append(lock)
        return True

    def _let_go(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks.clear()
