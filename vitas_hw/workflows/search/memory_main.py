"""The process whose resident memory shows what a subnet needs: ``python -m vitas_hw.workflows.search.memory_main``.

Told target, device and subnet as one line of JSON; it opens and runs a tiny subnet first, so that the runtime itself is
there, then the subnet, and tells by how many bytes it has grown.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import closing

import psutil

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.backend import Backend, open_backend

_RUNS = 3


def main() -> None:
    """Serve the one question."""
    reply = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a native library prints is no reply
    asked = json.loads(sys.stdin.readline())
    subnet, target = Subnet.from_dict(asked["subnet"]), Target.from_dict(asked["target"])
    backend = open_backend(target, asked["device"])
    grown(backend, Subnet(subnet.image_size, subnet.in_chans, subnet.patch_size, 8, (Block(2, 4, 8),), 2))
    reply.write(json.dumps({"bytes": grown(backend, subnet)}) + "\n")
    reply.flush()


def grown(backend: Backend, subnet: Subnet) -> int:
    """Bytes of resident memory that a loaded subnet adds once it has run."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    with closing(backend.open(subnet)) as session:
        session.samples_ms(_RUNS)
        gc.collect()
        return int(max(process.memory_info().rss - before, 0))


if __name__ == "__main__":
    main()
