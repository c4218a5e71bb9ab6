"""What every profiling shares, on one machine or many: its journal, its environment, its profile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vitas_hw.core.progress import Progress
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.anchor import anchor_subnet
from vitas_hw.profiling.conditions import Conditions, snapshot, warnings
from vitas_hw.profiling.environment import environment
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import anchor_ms, measurements, noise_floor
from vitas_hw.profiling.place import Place
from vitas_hw.profiling.profile import Profile
from vitas_hw.profiling.timing import Timing

TIMING = Timing()
REPEAT_EVERY = 8  # one subnet in eight is measured twice, for the noise floor


def profile_of(
    journal: Journal,
    target: Target,
    space: SearchSpace,
    about: dict[str, Any],
    subnets: Sequence[Subnet],
    rounds: int,
) -> Profile:
    """The profile that a journal's visits make, with its noise floor; no row of a subnet that was not visited."""
    first = measurements(journal, subnets, "first", rounds)
    floor = noise_floor(first, measurements(journal, subnets[::REPEAT_EVERY], "second", rounds))
    about = {**about, "rounds": rounds, "conditions": journal.conditions}
    if journal.devices:  # several shared the work: the noise floor has the difference between them in it
        about["devices"] = sorted(set(journal.devices.values()))
    return Profile(target, space, about, floor, anchor_ms(journal) if journal.attempts else None, tuple(first))


def about_of(place: Place, backend_version: str) -> dict[str, Any]:
    """The environment of a profiling on this machine, as JSON types."""
    about = environment({**asdict(TIMING), "repeat_every": REPEAT_EVERY}, place.accelerator)
    return about | {"device": place.device, "backend_version": backend_version, "anchor": anchor_subnet_of(place)}


def anchor_subnet_of(place: Place) -> dict[str, Any]:
    """The anchor as JSON types."""
    return anchor_subnet(place.target.image_size).to_dict()


def header_of(target: Target, space: SearchSpace, about: dict[str, Any], seed: int) -> dict[str, Any]:
    """What must be the same for timings to belong together."""
    facts = {key: about[key] for key in ("fingerprint", "backend_version", "settings", "anchor")}
    return {"target": target.to_dict(), "space": space.to_dict(), "seed": seed, **facts}


def compare_with_fp32(place: Place, timeout_s: float, progress: Progress) -> None:
    """Say it if the precision asked for is slower than float32."""
    plain = place.in_fp32()
    if plain is None:
        return
    anchor = anchor_subnet(place.target.image_size)
    with place.worker(TIMING, timeout_s) as asked, plain.worker(TIMING, timeout_s) as fp32:
        took = asked.visit(anchor).anchor_ms
        took_fp32 = fp32.visit(anchor).anchor_ms
    if took > took_fp32:
        progress.note(
            f"{place.target.precision} is slower than fp32 here: {took:.3g} ms for the anchor against {took_fp32:.3g}"
        )


class Watch:
    """Looks at the machine and says each reason for mistrust once."""

    def __init__(self, place: Place, progress: Progress) -> None:
        self._device, self._threads = place.device, place.target.threads or 1
        self._progress = progress
        self._last: Conditions | None = None
        self._said: set[str] = set()

    def look(self) -> dict[str, Any]:
        """The machine now, as JSON types."""
        self._last = snapshot(self._device, self._last)
        for sentence in warnings(self._last, self._threads):
            kind = re.sub(r"[\d.]+", "", sentence)
            if kind not in self._said:
                self._said.add(kind)
                self._progress.note(f"warning: {sentence}")
        return self._last.to_dict()
