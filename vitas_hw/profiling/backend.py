"""What a runtime has to offer to be measured."""

from __future__ import annotations

from typing import Protocol

from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target


class Session(Protocol):
    """A model loaded on a device, with its inputs there."""

    def run(self) -> None:
        """One inference, finished when this returns."""
        ...


class Backend(Protocol):
    """A runtime on a device: opens sessions for subnets of one target."""

    target: Target
    version: str

    def open(self, subnet: Subnet) -> Session:
        """A session with weights drawn from the subnet's digest. Raises VitasError if the runtime refuses it."""
        ...
