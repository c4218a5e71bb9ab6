"""The process that opens and times sessions: ``python -m vitas_hw.profiling.worker_main``, spoken to in JSON lines.

The first line sets it up, every other one asks for a visit. Whatever happens to a session happens to this process only.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from vitas_hw.core.errors import VitasError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.backend import KeepsWork, open_backend
from vitas_hw.profiling.timing import Timing, anchor_subnet, time_visit

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def main() -> None:
    """Serve visits until the parent closes the pipe, or is gone."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a native library prints is no reply
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    setup = requests.get()
    _prepare(setup)
    try:
        target = Target.from_dict(setup["target"])
        backend = open_backend(target, setup["device"])
        if setup["work"] is not None and isinstance(backend, KeepsWork):
            backend.keep_in(Path(setup["work"]))
        anchor = backend.open(anchor_subnet(target.image_size))
        timing = Timing(**setup["timing"])
    except Exception as error:  # anything a runtime raises; it is told, and nothing can go on
        _send(replies, {"refused": _reason(error)})
        return
    _send(replies, {"version": backend.version})
    while True:
        subnet = Subnet.from_dict(requests.get()["subnet"])
        try:
            with closing(backend.open(subnet)) as session:
                visit = time_visit(session, anchor, timing)
            _send(replies, asdict(visit))
        except Exception as error:  # a runtime's exceptions share no base class, and each costs one row only
            _send(replies, {"refused": _reason(error)})


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the parent has closed the pipe or is dead: no cleaning up, a session may hang


def _prepare(setup: dict[str, Any]) -> None:
    if sys.platform == "linux":
        # the kernel ends this process with its parent even while a runtime's code holds Python's lock
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != setup["parent"]:
            os._exit(0)
        with open("/proc/self/oom_score_adj", "w") as file:  # if memory runs out, it is this process that has to go
            file.write("1000")
    if setup["memory_bytes"] is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (setup["memory_bytes"], setup["memory_bytes"]))
    if setup["cores"] is not None:
        os.sched_setaffinity(0, setup["cores"])  # this thread, and what it starts from now on


def _send(replies: IO[str], reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, VitasError) else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    main()
