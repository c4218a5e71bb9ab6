"""A clock that tests set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds."""

    at: float = 1000.0

    def __call__(self) -> float:
        return self.at
