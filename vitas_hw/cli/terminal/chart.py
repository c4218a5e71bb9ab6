"""A small chart on the terminal: latency against top-1 of what a search looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 46, 12  # of the plane, in characters
_SEEN, _FRONT, _CHOICE, _BUDGET = ".", "o", "*", "|"


@dataclass(frozen=True)
class Dots:
    """What is drawn.

    Args:
        seen: (milliseconds, top-1 in [0, 1]) of every subnet.
        choice: of the chosen one.
        ceiling: milliseconds of the budget; None draws no line.
    """

    seen: Sequence[tuple[float, float]]
    choice: tuple[float, float]
    ceiling: float | None = None


def chart(dots: Dots) -> list[str]:
    """Lines of text: ``.`` a subnet, ``o`` one on the front, ``*`` the choice, ``|`` the budget.

    Example:
        >>> lines = chart(Dots([(1.0, 0.9), (2.0, 0.95)], (2.0, 0.95), 2.2))
        >>> lines[0]
        'top-1'
    """
    seen = [*dots.seen, dots.choice]
    times, tops = [ms for ms, _ in seen], [top1 for _, top1 in seen]
    left, right = min(times), max([*times, dots.ceiling or 0.0])
    low, high = min(tops), max(tops)
    plane = [[" "] * WIDTH for _ in range(HEIGHT)]

    def column(ms: float) -> int:
        return round((ms - left) / (right - left or 1.0) * (WIDTH - 1))

    def row(top1: float) -> int:
        return HEIGHT - 1 - round((top1 - low) / (high - low or 1.0) * (HEIGHT - 1))

    if dots.ceiling is not None:
        for line in plane:
            line[column(dots.ceiling)] = _BUDGET
    for marks, mark in ((seen, _SEEN), (_front(seen), _FRONT), ([dots.choice], _CHOICE)):
        for ms, top1 in marks:
            plane[row(top1)][column(ms)] = mark
    label = [f"{high:6.1%}", *[" " * 6] * (HEIGHT - 2), f"{low:6.1%}"]
    first, last = f"{left:.3g} ms", f"{right:.3g} ms"
    axis = " " * 7 + "+" + "-" * WIDTH
    below = " " * 8 + first + " " * (WIDTH - len(first) - len(last)) + last
    return ["top-1", *(f"{name} |{''.join(line)}" for name, line in zip(label, plane, strict=True)), axis, below]


def _front(seen: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no faster one equals."""
    front: list[tuple[float, float]] = []
    for ms, top1 in sorted(seen, key=lambda one: (one[0], -one[1])):
        if not front or top1 > front[-1][1]:
            front.append((ms, top1))
    return front
