"""Budgets as people write them: ``5ms``, ``500/s``, ``1.3G`` MACs, ``6M`` parameters, ``200MB``; also as ranges."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from vitas_hw.core.errors import InputError, shown
from vitas_hw.core.records import from_json

COSTS = ("latency_ms", "macs", "params", "memory_bytes")
THROUGHPUT = "images_per_s"  # no cost of its own: a latency in another word
_TIMES = {"us": -3, "ms": 0, "s": 3}  # powers of ten
_COUNTS = {"K": 3, "M": 6, "G": 9, "T": 12}
_BYTES = {"KB": 3, "MB": 6, "GB": 9}
_RATES = {"/s": 0, "K/s": 3, "M/s": 6}
_UNITS = {"latency_ms": _TIMES, "macs": _COUNTS, "params": _COUNTS, "memory_bytes": _BYTES, THROUGHPUT: _RATES}
# of ``Budget.parse``: the argument of a cost, and what one may write for it
_ARGUMENTS = {
    "latency_ms": ("latency", "5ms"),
    "macs": ("flops", "1.3G"),
    "params": ("params", "6M"),
    "memory_bytes": ("memory", "200MB"),
    THROUGHPUT: ("throughput", "500/s"),
}
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d{1,4}))?\s*([A-Za-z]*(?:/s)?)", re.ASCII)


@dataclass(frozen=True)
class Range:
    """``low <= value <= high``; None is no bound. At least one bound, both positive and finite, low below high."""

    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if not bounds or any(not (math.isfinite(bound) and bound > 0) for bound in bounds):
            raise InputError(f"A budget needs positive, finite bounds, not {self.low} to {self.high}.")
        if bounds != sorted(bounds):
            raise InputError(f"A budget's lower bound {self.low:g} lies above its upper bound {self.high:g}.")

    def excess(self, value: Any) -> Any:
        """How far ``value`` (a number or an array) lies outside, relative to the bound crossed; 0 or less is inside."""
        import numpy as np

        above = -np.inf if self.high is None else value / self.high - 1.0
        below = -np.inf if self.low is None else 1.0 - value / self.low
        return np.maximum(above, below)


@dataclass(frozen=True)
class Budget:
    """The maximum cost of a subnet, or a range of costs.

    Latency is in milliseconds, MACs and parameters are counts, memory at inference is in bytes; None is unlimited.
    A throughput, in images per second, is converted to a latency by ``at_batch``.

    Example:
        >>> print(vh.Budget.parse(latency="4ms-5ms", params="6M"))
        latency from 4 ms to 5 ms and parameters at most 6 M parameters
        >>> print(vh.Budget.parse(throughput="500/s").at_batch(64))
        latency at most 128 ms (throughput at least 500 images/s)
    """

    latency_ms: Range | None = None
    macs: Range | None = None
    params: Range | None = None
    memory_bytes: Range | None = None
    images_per_s: Range | None = None

    @classmethod
    def parse(
        cls,
        latency: str | None = None,
        flops: str | None = None,
        params: str | None = None,
        memory: str | None = None,
        throughput: str | float | None = None,
    ) -> Budget:
        """Read text such as ``5ms``, ``4M-6M`` and ``500/s``, see ``parse_range``; a throughput may also be a number.

        Raises InputError with an example; also if both a latency and a throughput are given.
        """
        if latency is not None and throughput is not None:
            raise InputError(
                "`throughput` is a latency in another word, and `latency` is given too.",
                "Give one of them.",
                field="throughput",
                value=throughput,
            )
        texts = {"latency_ms": latency, "macs": flops, "params": params, "memory_bytes": memory}
        found = {cost: parse_range(text, cost) for cost, text in texts.items() if text is not None}
        if isinstance(throughput, str):
            found[THROUGHPUT] = parse_range(throughput, THROUGHPUT)
        elif throughput is not None:
            found[THROUGHPUT] = Range(float(throughput), None)
        return cls(**found)

    def at_batch(self, batch_size: int) -> Budget:
        """The same with its throughput, if any, as the latency that it is where so many images are one inference."""
        if self.images_per_s is None:
            return self
        ends = self.images_per_s.high, self.images_per_s.low
        return replace(self, latency_ms=Range(*(None if end is None else 1000 * batch_size / end for end in ends)))

    @property
    def asked(self) -> dict[str, Range]:
        """The ranges that are set, by the name of the cost; of a throughput the latency, once the batch is known."""
        return {cost: bounds for cost, bounds in self._set.items() if cost != THROUGHPUT}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not self._set

    @property
    def _set(self) -> dict[str, Range]:
        return {name: bounds for name in (*COSTS, THROUGHPUT) if (bounds := getattr(self, name)) is not None}

    def to_dict(self) -> dict[str, list[float | None]]:
        """``{"latency_ms": [null, 5.0]}``: low and high of each cost that is asked for, and of a throughput."""
        return {cost: [bounds.low, bounds.high] for cost, bounds in self._set.items()}

    @classmethod
    def from_dict(cls, data: Any) -> Budget:
        """Inverse of ``to_dict``."""
        stored = from_json(
            dict[
                Literal["latency_ms", "macs", "params", "memory_bytes", "images_per_s"],
                tuple[float | None, float | None],
            ],
            data,
        )
        return cls(**{cost: Range(*bounds) for cost, bounds in stored.items()})

    def __str__(self) -> str:
        said = {cost: f"{cost_name(cost)} {_show(bounds, cost)}" for cost, bounds in self._set.items()}
        if "latency_ms" in said and THROUGHPUT in said:
            said["latency_ms"] += f" ({said.pop(THROUGHPUT)})"
        return " and ".join(said.values()) or "none"


def cost_name(cost: str) -> str:
    """A cost as it stands in a sentence."""
    return {
        "latency_ms": "latency",
        "macs": "MACs",
        "params": "parameters",
        "memory_bytes": "memory",
        THROUGHPUT: "throughput",
    }[cost]


def show_cost(value: float, cost: str) -> str:
    """A cost with its unit, short: ``5 ms``, ``1.3 GMACs``, ``6 M parameters``, ``200 MB``, ``500 images/s``."""
    if cost == "latency_ms":
        return f"{three_digits(value)} ms"
    if cost == "memory_bytes":
        return f"{three_digits(value / 10 ** _BYTES['MB'])} MB"
    if cost == THROUGHPUT:
        return f"{three_digits(value)} images/s"
    number = show_count(value)
    return f"{number} parameters" if cost == "params" else f"{number}MACs" if number[-1].isalpha() else f"{number} MACs"


def show_count(value: float) -> str:
    """A count, short: ``12``, ``1.3 G``."""
    unit = next((unit for unit in "TGMK" if value >= 10 ** _COUNTS[unit]), "")
    return f"{three_digits(value / 10 ** _COUNTS[unit])} {unit}" if unit else f"{value:.0f}"


def write_cost(value: float, cost: str) -> str:
    """A bound as it is typed, in the unit that suits it: ``5ms``, ``140K``, ``1.3G``; ``parse_range`` reads it exactly.

    Args:
        value: positive and finite; milliseconds, bytes, images a second, or a count.
        cost: one of ``COSTS``, or ``THROUGHPUT``.
    """
    exact = Decimal(repr(float(value)))
    if cost == "latency_ms":
        unit = "us" if exact.adjusted() < -2 else "ms"
    elif cost == THROUGHPUT:
        unit = "/s"
    elif cost == "memory_bytes":
        unit = next((unit for unit in ("GB", "MB") if exact.adjusted() >= _BYTES[unit]), "KB")
    else:
        unit = next((unit for unit in "TGM" if exact.adjusted() >= _COUNTS[unit]), "K")
    number = f"{exact.scaleb(-_UNITS[cost][unit]):f}"
    return (number.rstrip("0").rstrip(".") if "." in number else number) + unit


def three_digits(value: float) -> str:
    """Three significant digits, never with an exponent from 1 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _show(bounds: Range, cost: str) -> str:
    if bounds.low is None:
        return f"at most {show_cost(bounds.high or 0, cost)}"
    if bounds.high is None:
        return f"at least {show_cost(bounds.low, cost)}"
    return f"from {show_cost(bounds.low, cost)} to {show_cost(bounds.high, cost)}"


def parse_range(text: str, cost: str) -> Range:
    """``5ms`` is a ceiling, ``500/s`` a floor, ``4ms-5ms`` (or ``4-5ms``) a range.

    Args:
        text: number and unit: us, ms, s for ``latency_ms``; K, M, G, T for ``macs`` and ``params``; KB, MB, GB
            for ``memory_bytes``; /s, K/s, M/s for ``images_per_s``.
        cost: one of ``COSTS``, or ``THROUGHPUT``.

    Raises:
        InputError: no number, no unit, another unit, or a lower bound above the upper one.
    """
    parts = re.split(r"(?<![eE])-", text.strip(), maxsplit=1)
    matches = [_NUMBER.fullmatch(part.strip()) for part in parts]
    name, example = _ARGUMENTS[cost]

    def wrong(why: str, hint: str) -> InputError:
        return InputError(f"`{name}` {shown(text)} {why}", hint, field=name, value=text, allowed=f"such as {example}")

    if not all(matches):
        raise wrong("is not a budget.", f"Write for example `{name}={example}`, or a range.")
    pieces = [match.groups() for match in matches if match]
    last_unit = pieces[-1][2]
    values = []
    for number, exponent, unit in pieces:
        power = _UNITS[cost].get(unit or last_unit)
        if power is None:
            said = f"has the unit {shown(unit or last_unit)}" if unit or last_unit else "has no unit"
            raise wrong(f"{said}; known units: {', '.join(_UNITS[cost])}.", f"Example: `{name}={example}`.")
        values.append(float(f"{number}e{int(exponent or 0) + power}"))  # rounded once
    if len(values) == 2:
        return Range(values[0], values[1])
    return Range(values[0], None) if cost == THROUGHPUT else Range(None, values[0])


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``30m`` or ``8h``. Raises InputError on anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip())
    if not match or match[2] not in _SECONDS or not 0 < float(match[1]) < math.inf:
        raise InputError(f"Invalid duration {shown(text)}; use for example 90s, 30m, 8h.", value=text)
    return float(match[1]) * _SECONDS[match[2]]
