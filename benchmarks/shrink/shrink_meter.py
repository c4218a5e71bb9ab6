"""Latencies as shares of the original's, measured beside it, and the widest net of a family that fits.

Sessions run on different machines, and one machine differs from hour to hour. So every net is measured in rounds that
visit the original too, and what counts is the ratio of their medians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from shrink_setup import ORIGINAL

import vitas_hw as vh
from vitas_hw.profiling import Place, TargetAsked, find_place, side_by_side

ROUNDS = 5
Net = TypeVar("Net")


def place() -> Place:
    """ONNX Runtime on one thread."""
    return find_place(TargetAsked(device_name="here"), ORIGINAL.image_size)


def milliseconds(subnets: Sequence[vh.Subnet], rounds: int = ROUNDS) -> list[float]:
    """P50 of each, everything built anew in each of the interleaved rounds. Needs a quiet machine."""
    distinct = list(dict.fromkeys(subnets))
    found, _ = side_by_side(place(), distinct, rounds=rounds, seed=0, on_visit=lambda: None)
    broken = next((one for one in found if one.failed), None)
    if broken is not None:
        raise SystemExit(f"{broken.subnet.digest} does not run: {broken.failed}")
    p50 = {one.subnet: one.latency_ms for one in found}
    return [p50[subnet] for subnet in subnets]


def shares(subnets: Sequence[vh.Subnet]) -> list[float]:
    """P50 of each over the original's, of one interleaved run."""
    whole, *parts = milliseconds([ORIGINAL, *subnets])
    return [part / whole for part in parts]


def widest(least: int, most: int, made: Callable[[int], Net], fits: Callable[[Net], bool]) -> Net | None:
    """The net of the largest number, from ``least`` to ``most``, that fits, by bisection; None if the least does not.

    ``made`` is called with a number and grows with it.
    """
    found = made(least)
    if not fits(found):
        return None
    while least < most:
        middle = (least + most + 1) // 2
        tried = made(middle)
        if fits(tried):
            least, found = middle, tried
        else:
            most = middle - 1
    return found
