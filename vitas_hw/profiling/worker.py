"""A measuring process seen from outside: a session that crashes, hangs or eats all memory costs one row."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.core.waiting import environment_of_deployment
from vitas_hw.profiling.cores import Cores
from vitas_hw.profiling.nvidia import GpuLooks
from vitas_hw.profiling.timing import Timing, Visit

DEFAULT_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 300.0  # importing and building the anchor, the first time on a cold disk
_BUILD_TIMEOUT_S = 900.0  # TensorRT times kernels while it builds an engine
_PROGRAM = (sys.executable, "-m", "vitas_hw.profiling.worker_main")
_FIRST = "first"  # measurement
_LOOK_EVERY_S = 0.05  # at the GPU: a visit takes at least 0.06 s
_TRIES = 2  # at one subnet whose process crashed or broke, in a new one each, before it counts as failed


class SubnetFailedError(VitasError):
    """A subnet cannot run on this target: the reason, for its row.

    ``passing`` says that it may run another time: the GPU had no memory left or failed, in two processes.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class Worker:
    """Times subnets in a process of its own, which starts with the first visit and ends with ``close`` or its parent.

    Args:
        target: device, backend, precision, batch size, threads, image size.
        device: ``cpu``, ``cuda:0``, ...
        timing: of every visit.
        timeout_s: seconds to time one visit.
        build_timeout_s: seconds to build its session beforehand.
        cores: to keep it on and hold from its first visit until it is closed; None leaves that to the system.
        memory_bytes: most address space, so that giants are refused before the machine suffers (Linux); None: no limit.
        work: a folder where a backend whose sessions are slow to build (see ``KeepsWork``) keeps what it built, for
            later processes of the same measurement too; None builds all anew.
        gpu_uuid: of the NVIDIA GPU to look at while a session is timed; None looks at none.
        program: what to run.
    """

    def __init__(
        self,
        target: Target,
        device: str,
        timing: Timing,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        build_timeout_s: float = _BUILD_TIMEOUT_S,
        cores: Cores | None = None,
        memory_bytes: int | None = None,
        work: Path | None = None,
        gpu_uuid: str | None = None,
        program: tuple[str, ...] = _PROGRAM,
    ) -> None:
        self._program = program
        self._setup = {
            "target": target.to_dict(),
            "device": device,
            "timing": timing.to_dict(),
            "memory_bytes": memory_bytes,
        }
        self._work, self._measurement, self._cores = work, _FIRST, cores
        self._gpu = None if gpu_uuid is None else GpuLooks(gpu_uuid)
        self._timeout_s, self._build_timeout_s = timeout_s, build_timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str | None] = queue.Queue()
        self._errors: IO[bytes] | None = None

    def visit(self, subnet: Subnet) -> Visit:
        """Build a session anew and time it.

        What another process may do better is tried once more in a new one: it died, or the GPU had no memory left, or
        does nothing any more for that process, as after an illegal access.

        Raises:
            SubnetFailedError: the runtime refuses it, it takes longer than the timeout, or failed in two processes.
            VitasError: the process cannot start: nothing can be measured.
        """
        for _ in range(_TRIES):
            if self._process is None:
                self.start()
            self._send({"subnet": subnet.to_dict()})
            reply = self._receive_within(self._build_timeout_s, "Building it took")
            if reply == {"built": True}:
                if self._gpu is not None:
                    self._gpu.take()  # of another visit, which failed
                reply = self._receive_within(self._timeout_s, "It took", self._gpu)
            passing = False
            if reply is None:
                reason = self._end()
            elif "refused" in reply:
                reason, passing = reply["refused"], reply["passing"]
                if not passing:
                    break
                self._stop()
            else:
                parts: dict[str, Any] = {
                    name: tuple(part) if isinstance(part, list) else part for name, part in reply.items()
                }
                return replace(Visit(**parts), gpu=None if self._gpu is None else self._gpu.take())
        raise SubnetFailedError(reason, passing=passing)

    def renew(self, measurement: str = _FIRST) -> None:
        """Forget all that is built: the next visit is made by a new process, at other addresses, with cold caches.

        What a backend keeps in ``work`` is kept for each measurement apart: one that repeats another builds its own, so
        that a noise floor holds the difference between two builds.
        """
        self._stop()
        self._measurement = measurement

    def close(self) -> None:
        """End the process, whatever it does, and let others have its cores."""
        self._stop()
        if self._cores is not None:
            self._cores.release()

    @property
    def shares_cores(self) -> bool:
        """Whether another measurement on this machine runs on the same cores; known once it is started."""
        return self._cores is not None and self._cores.shared

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> str:
        """Start the process anew, and return the runtime's version. Raises VitasError if it cannot be used."""
        self._stop()
        cores = None if self._cores is None else self._cores.hold()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in _end
        self._replies = queue.Queue()
        self._process = subprocess.Popen(
            self._program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=environment_of_deployment(),
            start_new_session=True,  # Ctrl-C is for us: we close it
        )
        threading.Thread(target=_forward, args=(self._process.stdout, self._replies), daemon=True).start()
        try:
            self._send({**self._setup, "cores": cores, "work": self._work_folder(), "parent": os.getpid()})
            reply = self._receive(_START_TIMEOUT_S)
            if reply is None:
                raise VitasError(f"The measuring process cannot start. {self._end()}")
            if "refused" in reply:
                raise VitasError(reply["refused"])
        except queue.Empty:
            self._stop()
            raise VitasError(f"The measuring process did not start within {_START_TIMEOUT_S:g} s.") from None
        except BaseException:
            self._stop()
            raise
        return str(reply["version"])

    def _work_folder(self) -> str | None:
        if self._work is None:
            return None
        # timings of kernels in the first one's folder serve an export too
        return str((self._work if self._measurement == _FIRST else self._work / self._measurement).resolve())

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the missing reply says so
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The reply; None if the process ended without a whole one. Raises queue.Empty when time is up."""
        line = self._replies.get(timeout=timeout_s)
        return json.loads(line) if line is not None and line.endswith("\n") else None

    def _receive_within(self, timeout_s: float, what: str, gpu: GpuLooks | None = None) -> dict[str, Any] | None:
        """As ``_receive``, looking at the GPU meanwhile; when time is up, the process is ended, a subnet has failed."""
        end = time.monotonic() + timeout_s
        try:
            while gpu is not None and time.monotonic() + _LOOK_EVERY_S < end:
                with suppress(queue.Empty):
                    return self._receive(_LOOK_EVERY_S)
                gpu.look()
            return self._receive(max(end - time.monotonic(), 0))
        except queue.Empty:
            self._stop()
            raise SubnetFailedError(f"{what} longer than {timeout_s:g} s.") from None

    def _stop(self) -> None:
        if self._process is not None:
            self._end(patience_s=0)

    def _end(self, patience_s: float = 5.0) -> str:
        """Kill the process if it still runs, and what it started; clear up and say how it ended."""
        assert self._process is not None
        assert self._errors is not None
        with suppress(subprocess.TimeoutExpired):  # one that is dying may say of what
            self._process.wait(timeout=patience_s)
        _kill_group(self._process)
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._errors.seek(0)
        last_words = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        self._errors.close()
        self._process = self._errors = None
        how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
        # 9 is SIGKILL, which the module lacks on Windows
        hint = " (out of memory?)" if status == -9 else ""
        return " ".join([f"The measuring process {how}{hint}.", *last_words])


def _kill_group(process: subprocess.Popen[str]) -> None:
    """A runtime may have forked: what it left would keep our pipes open."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _forward(stream: IO[str] | None, replies: queue.Queue[str | None]) -> None:
    assert stream is not None
    with suppress(ValueError):  # closed while reading: the process is being cleared
        for line in stream:
            replies.put(line)
    replies.put(None)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
