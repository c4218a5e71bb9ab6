"""Measuring the memory of finalists: by the runtime where it tells, else by how much a fresh process grows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from vitas_hw.core.errors import VitasError, brief
from vitas_hw.core.progress import Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.profile import Profile
from vitas_hw.profiling.protocol import side_by_side
from vitas_hw.searching.memory import MemoryEstimate

PEAK, GROWTH = "the runtime's peak", "the growth of a fresh process's resident memory"
_TIMEOUT_S = 120.0


def memory_meter(place: Place, progress: Progress) -> tuple[Callable[[Subnet], float], str]:
    """What measures a subnet's memory in bytes on a target, and how: ``PEAK`` or ``GROWTH``.

    Raises VitasError when called, if the device refuses the subnet or the process ends.
    """
    of_one, how = (growth, GROWTH) if place.device == "cpu" else (_peak, PEAK)

    def memory(subnet: Subnet) -> float:
        with progress.step(f"measuring the memory of {subnet.digest[:8]}", 1) as advance:
            found = of_one(place, subnet)
            advance("")
        return found

    return memory, how


def growth(place: Place, subnet: Subnet) -> float:
    """Bytes by which the resident memory of a process of its own grows when it loads and runs a subnet.

    Raises:
        VitasError: the process ends without an answer.
    """
    asked = {"target": place.target.to_dict(), "device": place.device, "subnet": subnet.to_dict()}
    command = [sys.executable, "-m", "vitas_hw.workflows.search.memory_main"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked) + "\n", capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        lines = str(error.stderr or "it took too long").strip().splitlines()
        raise VitasError(f"The memory of a finalist cannot be measured: {brief(lines[-1])}") from error
    return float(json.loads(done.stdout)["bytes"])


def _peak(place: Place, subnet: Subnet) -> float:
    (found,), _ = side_by_side(place, [subnet], rounds=1, seed=0, on_visit=lambda: None)
    if found.peak_bytes is None:
        raise VitasError(
            f"{place.target.backend} does not tell how much memory it uses on {place.device}.",
            "Leave out `memory`, or profile with a backend that does: torch or tensorrt.",
        )
    return float(found.peak_bytes)


def memory_estimate(place: Place, profile: Profile | None) -> MemoryEstimate:
    """Fitted to the profile's peaks where its runtime told them."""
    known = {one.subnet: one.peak_bytes for one in profile.ok if one.peak_bytes is not None} if profile else {}
    return MemoryEstimate.fitted(place.target, known)
