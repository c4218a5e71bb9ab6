"""A Ray cluster on this machine, whose nodes pretend to be other hardware."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fake_place import HARDWARE

SMALL_STORE = 80 * 2**20


class Machines:
    """A Ray cluster of nodes with one CPU, each with hardware of its own."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as LocalCluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": SMALL_STORE}
        self._cluster = LocalCluster(initialize_head=True, head_node_args=head)
        self._nodes: dict[str, list[Any]] = {}
        self.address = self._cluster.address

    def add(self, *hardware: str) -> None:
        for name in hardware:
            self._add(name)
        self._cluster.wait_for_nodes()

    def _add(self, hardware: str) -> None:
        here = Path(__file__).parent
        paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        variables = {HARDWARE: hardware, "PYTHONPATH": paths}  # the machines have to know fake_place
        gpus = 2 if hardware == "two-gpus" else 0
        node = self._cluster.add_node(
            wait=False, num_cpus=1, num_gpus=gpus, object_store_memory=SMALL_STORE, env_vars=variables
        )
        self._nodes.setdefault(hardware, []).append(node)

    def kill(self, hardware: str) -> None:
        """As a machine without power: all of its processes at once, not only Ray's own, which the others outlive."""
        node = self._nodes[hardware].pop()
        (raylet,) = node.all_processes["raylet"]
        below = list(processes_below(raylet.process.pid))
        self._cluster.remove_node(node, allow_graceful=False)
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def shutdown(self) -> None:
        self._cluster.shutdown()


def processes_below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from processes_below(int(child))
            yield int(child)


@contextmanager
def machines_of(*hardware: str) -> Iterator[Machines]:
    machines = Machines()
    try:
        machines.add(*hardware)
        yield machines
    finally:
        machines.shutdown()
