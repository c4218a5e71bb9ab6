"""A small chart on the terminal: latency against top-1 of what a search looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 46, 12  # of the plane, in characters
_SEEN, _FRONT, _CHOICE, _BEFORE, _RISE, _BUDGET = ".", "o", "*", "x", ":", "|"


@dataclass(frozen=True)
class Dots:
    """What is drawn.

    Args:
        seen: (milliseconds, top-1 in [0, 1]) of every subnet, with inherited weights.
        choice: of the chosen one.
        ceiling: milliseconds of the budget; None draws no line.
        tuned: top-1 of the choice after fine-tuning; None without.
    """

    seen: Sequence[tuple[float, float]]
    choice: tuple[float, float]
    ceiling: float | None = None
    tuned: float | None = None


def chart(dots: Dots) -> list[str]:
    """Lines of text: ``.`` a subnet, ``o`` one on the front, ``|`` the budget, ``*`` the choice; after a fine-tuning
    above the ``x`` of what it inherits. The last lines say so.

    Example:
        >>> lines = chart(Dots([(1.0, 0.9), (2.0, 0.95)], (2.0, 0.95), 2.2, 0.97))
        >>> lines[0]
        'top-1'
        >>> lines[-1].strip()
        'x choice, inherited  * choice, fine-tuned'
    """
    seen, (ms_of_choice, inherited) = [*dots.seen, dots.choice], dots.choice
    times, tops = [ms for ms, _ in seen], [top1 for _, top1 in seen] + [dots.tuned or inherited]
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
    for marks, mark in ((seen, _SEEN), (_front(seen), _FRONT)):
        for ms, top1 in marks:
            plane[row(top1)][column(ms)] = mark
    place = column(ms_of_choice)
    if dots.tuned is not None:
        for between in range(*sorted((row(dots.tuned), row(inherited)))):
            plane[between][place] = _RISE
        plane[row(inherited)][place] = _BEFORE
    plane[row(inherited if dots.tuned is None else dots.tuned)][place] = _CHOICE
    label = [f"{high:6.1%}", *[" " * 6] * (HEIGHT - 2), f"{low:6.1%}"]
    first, last = f"{left:.3g} ms", f"{right:.3g} ms"
    axis = " " * 7 + "+" + "-" * WIDTH
    below = " " * 8 + first + " " * (WIDTH - len(first) - len(last)) + last
    choice = f"{_CHOICE} choice" if dots.tuned is None else f"{_BEFORE} choice, inherited  {_CHOICE} choice, fine-tuned"
    names = [f"{_SEEN} subnet  {_FRONT} on the front" + f"  {_BUDGET} budget" * (dots.ceiling is not None), choice]
    lines = (f"{name} |{''.join(line)}" for name, line in zip(label, plane, strict=True))
    return ["top-1", *lines, axis, below, *(" " * 8 + name for name in names)]


def _front(seen: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no faster one equals."""
    front: list[tuple[float, float]] = []
    for ms, top1 in sorted(seen, key=lambda one: (one[0], -one[1])):
        if not front or top1 > front[-1][1]:
            front.append((ms, top1))
    return front
