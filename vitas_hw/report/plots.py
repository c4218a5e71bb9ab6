"""The plot that a fit leaves beside its report, as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitas_hw.core.files import atomic_path

_GREY, _BLUE = "#9aa0a6", "#1a73e8"


def plot_fit(measured: Sequence[float], predicted: Sequence[float], *, title: str, unit: str, path: Path) -> None:
    """Predicted over measured on held-out examples, with the lines of equality and of 10% to both sides.

    Args:
        measured, predicted: (N,) positive.
        title: says how good, and the noise floor.
        unit: of both axes.
        path: PNG file, replaced in one step.
    """
    from matplotlib.figure import Figure  # not pyplot: no global state; here: who draws nothing need not have it

    figure = Figure(figsize=(5.5, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    least, most = min(*measured, *predicted), max(*measured, *predicted)
    ends = (least / 1.1, most * 1.1)
    axes.fill_between(
        ends, [end * 0.9 for end in ends], [end * 1.1 for end in ends], color=_GREY, alpha=0.3, label="10%"
    )
    axes.plot(ends, ends, color="black", lw=1, label="equal")
    axes.scatter(measured, predicted, s=10, color=_BLUE, alpha=0.7, label="held-out examples")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}")
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", framealpha=0.9, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
