"""Threads that wait for each other sleep instead of spinning: other processes may need the CPU."""

from __future__ import annotations

import os

_POLICY, _OURS = (
    "OMP_WAIT_POLICY",
    "VITAS_HW_OMP_WAIT_POLICY",
)  # the second says that the first is our wish, not the user's


def sleep_while_waiting() -> None:
    """For this process, before it loads OpenMP, unless its user has said otherwise.

    A thread that spins at every meeting burns a CPU which others want: a training on a busy machine then takes a
    multiple of the CPU seconds. Costs microseconds at each meeting of threads that have the machine for themselves.
    """
    if _POLICY not in os.environ:
        os.environ[_POLICY] = os.environ[_OURS] = "PASSIVE"


def environment_of_deployment() -> dict[str, str]:
    """For processes that measure: as the user's own programs will have it."""
    ours = {_POLICY, _OURS} if _OURS in os.environ else set()
    return {name: value for name, value in os.environ.items() if name not in ours}
