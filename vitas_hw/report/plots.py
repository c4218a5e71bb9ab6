"""Plots as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: no global state, no window

from vitas_hw.core.files import atomic_path

_GREY, _BLUE, _RED = "#9aa0a6", "#1a73e8", "#d93025"


@dataclass(frozen=True)
class Point:
    """A subnet in the plot: cost, top-1 in [0, 1], and its measured cost if it was measured."""

    cost: float
    top1: float
    measured: float | None = None


def plot_search(
    candidates: Sequence[Point],
    front: Sequence[Point],
    choice: Point,
    *,
    cost_label: str,
    ceiling: float | None,
    path: Path,
) -> None:
    """Top-1 over cost: every candidate, the Pareto front, measured finalists, the choice, the budget.

    Args:
        candidates, front, choice: what was found; the choice is drawn where it was measured, if it was.
        cost_label: of the horizontal axis, with its unit.
        ceiling: the budget's upper bound; None draws none.
        path: PNG file, replaced in one step.
    """
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([p.cost for p in candidates], [p.top1 * 100 for p in candidates], s=12, color=_GREY, label="evaluated")
    axes.step(
        [p.cost for p in front],
        [p.top1 * 100 for p in front],
        where="post",
        color=_BLUE,
        marker="o",
        ms=4,
        label="front",
    )
    measured = [p for p in candidates if p.measured is not None]
    if measured:
        axes.hlines(
            [p.top1 * 100 for p in measured],
            [p.cost for p in measured],
            [p.measured or 0.0 for p in measured],
            color=_RED,
            lw=1,
        )
        axes.scatter(
            [p.measured or 0.0 for p in measured],
            [p.top1 * 100 for p in measured],
            marker="x",
            s=28,
            color=_RED,
            label="measured finalists",
        )
    where = choice.cost if choice.measured is None else choice.measured
    axes.scatter(
        [where], [choice.top1 * 100], marker="*", s=160, color=_RED, edgecolor="white", zorder=3, label="choice"
    )
    if ceiling is not None:
        axes.axvline(ceiling, color="black", ls="--", lw=1, label="budget")
    axes.set_xlabel(cost_label)
    axes.set_ylabel("inherited top-1 on the search split, %")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", framealpha=0.9, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def plot_fit(measured: Sequence[float], predicted: Sequence[float], *, title: str, unit: str, path: Path) -> None:
    """Predicted over measured on held-out examples, with the lines of equality and of 10% to both sides.

    Args:
        measured, predicted: (N,) positive.
        title: says how good, and the noise floor.
        unit: of both axes.
        path: PNG file, replaced in one step.
    """
    figure = Figure(figsize=(5.5, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    least, most = min(*measured, *predicted), max(*measured, *predicted)
    ends = (least / 1.1, most * 1.1)
    axes.fill_between(
        ends, [end * 0.9 for end in ends], [end * 1.1 for end in ends], color=_GREY, alpha=0.3, label="10%"
    )
    axes.plot(ends, ends, color="black", lw=1, label="equal")
    axes.scatter(measured, predicted, s=10, color=_BLUE, alpha=0.7, label="held-out examples")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_xlabel(f"measured, {unit}")
    axes.set_ylabel(f"predicted, {unit}")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", framealpha=0.9, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
