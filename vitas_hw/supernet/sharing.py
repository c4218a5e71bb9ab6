"""Which channels of a shared weight a subnet of a given width uses (ViTAS section 3.2)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from vitas_hw.core.errors import InputError, one_of

Channels = tuple[slice, ...]  # one after the other; more than one slice only where a ring of channels closes
ONE_SIDE: tuple[str, ...] = ("",)


class Sharing(Protocol):
    """A weight-sharing scheme."""

    name: str
    sides: tuple[str, ...]
    """The names of the subnets that share one architecture; ``("",)`` where there is one."""

    def channels(self, width: int, widths: tuple[int, ...], side: str) -> Channels:
        """The channels that a subnet ``width`` wide uses.

        Args:
            width: one of ``widths``.
            widths: every width that a subnet can have, increasing; the last is the number of channels.
            side: one of ``sides``.
        """
        ...


class Ordinal:
    """Always the first channels (AutoSlim)."""

    name = "ordinal"
    sides = ONE_SIDE

    def channels(self, width: int, widths: tuple[int, ...], side: str) -> Channels:  # noqa: ARG002
        return (slice(0, _candidate(width, widths)),)


class Bilateral:
    """The first channels, and the last ones (BCNet): every subnet is trained and scored on both sides."""

    name = "bilateral"
    sides: tuple[str, ...] = ("left", "right")

    def channels(self, width: int, widths: tuple[int, ...], side: str) -> Channels:
        most = widths[-1]
        _candidate(width, widths)
        return (slice(0, width) if side == "left" else slice(most - width, most),)


class Cyclic:
    """Every channel belongs to equally many candidate widths, give or take one (ViTAS v2).

    The candidates are laid end to end on a ring of all channels, largest first and each time the largest that still
    fits before the ring closes, so that as few as possible are cut in two.
    """

    name = "cyclic"
    sides = ONE_SIDE

    def channels(self, width: int, widths: tuple[int, ...], side: str) -> Channels:  # noqa: ARG002
        most, start = widths[-1], _ring(widths)[_candidate(width, widths)]
        if start + width <= most:
            return (slice(start, start + width),)
        return slice(start, most), slice(0, start + width - most)


def _ring(widths: tuple[int, ...]) -> dict[int, int]:
    """Where each candidate width starts."""
    most = widths[-1]
    starts, at, left = {}, 0, list(widths)
    while left:
        fitting = [width for width in left if width <= most - at]
        width = max(fitting) if fitting else min(left)
        starts[width] = at
        at = (at + width) % most
        left.remove(width)
    return starts


def _candidate(width: int, widths: tuple[int, ...]) -> int:
    if width not in widths:
        raise ValueError(f"width {width} is none of {widths}")
    return width


def take(weight: Tensor, rows: Channels | None = None, columns: Channels | None = None) -> Tensor:
    """Those channels of the first and of the last dimension; a view wherever each is one slice."""
    for dim, channels in ((0, rows), (weight.ndim - 1, columns)):
        if channels is not None:
            parts = [weight.narrow(dim, part.start, part.stop - part.start) for part in channels]
            weight = parts[0] if len(parts) == 1 else torch.cat(parts, dim)
    return weight


def put(weight: Tensor, value: Tensor, rows: Channels | None = None, columns: Channels | None = None) -> None:
    """Write ``value`` where ``take`` reads it, in place and without a gradient, also where that is no view."""
    places = take(torch.arange(weight.numel(), device=weight.device).view(weight.shape), rows, columns)
    weight.detach().view(-1)[places] = value.to(weight)


SCHEMES: dict[str, Sharing] = {scheme.name: scheme for scheme in (Ordinal(), Bilateral(), Cyclic())}


def sharing_scheme(name: str) -> Sharing:
    """The scheme of that name. Raises InputError on another name."""
    if name not in SCHEMES:
        raise one_of(name, SCHEMES, "weight-sharing scheme")
    return SCHEMES[name]


def checked_side(scheme: Sharing, side: str | None) -> str:
    """``side``, which may be left out where there is one. Raises InputError on another."""
    if side is None and scheme.sides == ONE_SIDE:
        return ""
    if side not in scheme.sides or scheme.sides == ONE_SIDE:
        allowed = " or ".join(scheme.sides) or "none"
        raise InputError(f"The sharing scheme {scheme.name!r} has the sides: {allowed}; given: {side}.")
    return side
