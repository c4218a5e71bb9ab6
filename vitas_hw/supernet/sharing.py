"""Which channels of a shared weight a subnet of a given width uses."""

from __future__ import annotations

from typing import Protocol

from vitas_hw.core.errors import one_of


class Sharing(Protocol):
    """A weight-sharing scheme."""

    name: str

    def channels(self, width: int, most: int) -> slice:
        """The channels, out of ``most``, that a subnet ``width`` wide uses."""
        ...


class Ordinal:
    """Always the first channels (AutoSlim; the paper's baseline, section 3.2)."""

    name = "ordinal"

    def channels(self, width: int, most: int) -> slice:
        if not 0 < width <= most:
            raise ValueError(f"width {width} of {most} channels")
        return slice(0, width)


SCHEMES: dict[str, Sharing] = {scheme.name: scheme for scheme in (Ordinal(),)}


def sharing_scheme(name: str) -> Sharing:
    """The scheme of that name. Raises InputError on another name."""
    if name not in SCHEMES:
        raise one_of(name, SCHEMES, "weight-sharing scheme")
    return SCHEMES[name]
