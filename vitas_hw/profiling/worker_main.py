"""The process that opens and times sessions: ``python -m vitas_hw.profiling.worker_main``, spoken to in JSON lines.

The first line sets it up, every other one asks for a visit, which is answered twice: when the session is built, and
when it is timed. Whatever happens to a session happens to this process only.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import re
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
from vitas_hw.profiling.backend import KeepsWork, Session, open_backend
from vitas_hw.profiling.timing import Timing, anchor_subnet, time_visit

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux
# as torch, cuBLAS, cuDNN, ONNX Runtime and TensorRT say it of a GPU
_NO_MEMORY = re.compile(r"out ?of ?memory|alloc_failed|failed to allocate|bad_alloc", re.IGNORECASE)


def main() -> None:
    """Serve visits until the parent closes the pipe, or is gone."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a native library prints is no reply
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    setup = requests.get()
    on_cuda = setup["device"].startswith("cuda")
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
                _send(replies, {"built": True})
                visit = time_visit(session, anchor, timing)
            _send(replies, asdict(visit))
        except Exception as error:  # a runtime's exceptions share no base class, and each costs one row only
            reason = _reason(error)
            passing = on_cuda and (bool(_NO_MEMORY.search(reason)) or not _runs(anchor))
            _send(replies, {"refused": reason, "passing": passing})
            if passing:  # no cleaning up: CUDA may be beyond it
                os._exit(0)


def _runs(anchor: Session) -> bool:
    """Whether the device still works for this process: after some errors of CUDA nothing does any more."""
    try:
        anchor.samples_ms(1)
    except Exception:
        return False
    return True


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the parent has closed the pipe or is dead: no cleaning up, a session may hang


def _prepare(setup: dict[str, Any]) -> None:
    if setup["target"]["precision"] == "fp32":
        # before any library of NVIDIA's is loaded, and for those too that have no switch of their own for TF32
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    if sys.platform == "linux":
        # the kernel ends this process with its parent even while a runtime's code holds Python's lock
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != setup["parent"]:
            os._exit(0)
        with open("/proc/self/oom_score_adj", "w") as file:  # if memory runs out, it is this process that has to go
            file.write("1000")
        if setup["memory_bytes"] is not None:  # macOS can refuse it, Windows lacks the module
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
