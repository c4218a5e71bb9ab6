"""Which channels of a shared weight a subnet of a given width uses (ViTAS section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vitas_hw.core.errors import InputError

Channels = tuple[slice, ...]  # one after the other; more than one slice only where a ring of channels closes
ONE_SIDE: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Sharing:
    """A weight-sharing scheme.

    Args:
        name: of the scheme.
        start: of a width, every width and a side: the first channel that a subnet uses, on a ring of all channels.
        sides: the names of the subnets that share one architecture; ``("",)`` where there is one.
    """

    name: str
    start: Callable[[int, tuple[int, ...], str], int]
    sides: tuple[str, ...] = ONE_SIDE

    def channels(self, width: int, widths: tuple[int, ...], side: str) -> Channels:
        """The channels that a subnet ``width`` wide uses.

        Args:
            width: one of ``widths``.
            widths: every width that a subnet can have, increasing; the last is the number of channels.
            side: one of ``sides``.
        """
        if width not in widths:
            raise ValueError(f"width {width} is none of {widths}")
        most, start = widths[-1], self.start(width, widths, side)
        if start + width <= most:
            return (slice(start, start + width),)
        return slice(start, most), slice(0, start + width - most)


def _first(width: int, widths: tuple[int, ...], side: str) -> int:  # noqa: ARG001
    """Always the first channels (AutoSlim)."""
    return 0


def _first_or_last(width: int, widths: tuple[int, ...], side: str) -> int:
    """The first channels, and the last ones (BCNet): every subnet is trained and scored on both sides."""
    return 0 if side == "left" else widths[-1] - width


def _on_a_ring(width: int, widths: tuple[int, ...], side: str) -> int:  # noqa: ARG001
    """Every channel belongs to equally many candidate widths, give or take one (ViTAS v2).

    The candidates are laid end to end on a ring of all channels, largest first and each time the largest that still
    fits before the ring closes, so that as few as possible are cut in two.
    """
    most = widths[-1]
    starts, at, left = {}, 0, list(widths)
    while left:
        fitting = [width for width in left if width <= most - at]
        laid = max(fitting) if fitting else min(left)
        starts[laid] = at
        at = (at + laid) % most
        left.remove(laid)
    return starts[width]


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Sharing("ordinal", _first),
        Sharing("bilateral", _first_or_last, ("left", "right")),
        Sharing("cyclic", _on_a_ring),
    )
}


class Place(NamedTuple):
    """Where a shared weight holds one of a subnet's: these channels of its first and of its last dimension, or all."""

    weight: Tensor
    rows: Channels | None = None
    columns: Channels | None = None


def take(weight: Tensor, rows: Channels | None = None, columns: Channels | None = None) -> Tensor:
    """Those channels of the first and of the last dimension; a view wherever each is one slice."""
    for dim, channels in ((0, rows), (weight.ndim - 1, columns)):
        if channels is not None and channels != (slice(0, weight.shape[dim]),):
            parts = [weight.narrow(dim, part.start, part.stop - part.start) for part in channels]
            weight = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    return weight


def put(value: Tensor, weight: Tensor, rows: Channels | None = None, columns: Channels | None = None) -> None:
    """Write ``value`` where ``take`` reads it, in place and without a gradient, also where that is no view: as many
    rows as both have.
    """
    places = take(torch.arange(weight.numel(), device=weight.device).view(weight.shape), rows, columns)
    both = min(len(places), len(value))
    weight.detach().view(-1)[places[:both]] = value[:both].to(weight)


def checked_side(scheme: Sharing, side: str | None) -> str:
    """``side``, which may be left out where there is one. Raises InputError on another."""
    if side is None and scheme.sides == ONE_SIDE:
        return ""
    if side not in scheme.sides or scheme.sides == ONE_SIDE:
        allowed = " or ".join(scheme.sides) or "none"
        raise InputError(f"The sharing scheme {scheme.name!r} has the sides: {allowed}; given: {side}.")
    return side
