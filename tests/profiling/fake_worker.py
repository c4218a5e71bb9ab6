"""A measuring process with a made-up runtime: what a subnet does is told by the MLP width of its first block."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling import worker_main

FINE, REFUSED, BROKEN, CRASHES, HANGS, HANGS_LOCKED, OUT_OF_MEMORY, CRASHES_ONCE, FORKS = range(101, 110)
HANGS_TIMED, BUILDS_SLOWLY, TELLS_TF32 = range(110, 113)
VISITS = "FAKE_VISITS"  # variable: a file that counts the visits of all processes, one byte each
STICKY, FULL = "FAKE_STICKY", "FAKE_FULL"  # variables: visits that break the GPU for their process, find it full


class Session:
    precision = "fp32"
    peak_bytes = 7

    def __init__(self, subnet: Subnet) -> None:
        self._ms = subnet.macs / 1e6
        self._hangs = subnet.blocks[0].mlp_dim == HANGS_TIMED

    def samples_ms(self, count: int) -> list[float]:
        if Gpu.broken:  # as CUDA answers everything after an illegal access
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if self._hangs:
            time.sleep(3600)
        return [self._ms] * count

    def close(self) -> None:
        pass


class Gpu:
    """Counts the visits of all processes. Some of them break it, for the process that makes them, or find it full."""

    broken = False

    @classmethod
    def visited(cls) -> None:
        with open(os.environ[VISITS], "ab") as file:
            file.write(b".")
            number = file.tell()
        if str(number) in os.environ.get(FULL, "").split():
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        cls.broken = cls.broken or str(number) in os.environ.get(STICKY, "").split()


class Backend:
    version = "fake 1"

    def __init__(self) -> None:
        self._anchored = False

    def keep_in(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "processes", "a") as file:
            file.write(".")

    def open(self, subnet: Subnet, weights: Mapping[str, object] | None = None) -> Session:
        if VISITS in os.environ and self._anchored:
            Gpu.visited()
        self._anchored = True
        kind = subnet.blocks[0].mlp_dim
        os.write(1, b"a runtime that talks on stdout\n")
        if kind == REFUSED:
            raise VitasError("this engine cannot")
        if kind == BROKEN:
            raise RuntimeError("an error of the runtime's own\nover two lines")
        if kind == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == HANGS:
            time.sleep(3600)
        if kind == HANGS_LOCKED:  # in native code, with Python's lock held: no thread of ours runs
            ctypes.PyDLL(None).sleep(3600)
        if kind == OUT_OF_MEMORY:
            np.ones(2**37)  # 1 TiB
        if kind == CRASHES_ONCE:
            note = os.environ["CRASHED_ONCE"]
            if not os.path.exists(note):
                open(note, "w").close()
                os._exit(3)
        if kind == TELLS_TF32:
            raise VitasError(f"TF32 override: {os.environ.get('NVIDIA_TF32_OVERRIDE')}")
        if kind == BUILDS_SLOWLY:
            time.sleep(1.5)
        if kind == FORKS and os.fork() == 0:  # as a library's telemetry does: it keeps every pipe open
            time.sleep(3600)
        return Session(subnet)


def open_backend(target: Target, device: str) -> Backend:
    if device not in ("cpu", "cuda:0"):
        raise VitasError("no such device")
    return Backend()


if __name__ == "__main__":
    worker_main.open_backend = open_backend  # type: ignore[assignment]
    worker_main.main()
