"""The plot of the rank study: inherited over stand-alone top-1.

python benchmarks/rank_study.py report    # draws it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench_tools import Floats

_COLOURS = ("#1a73e8", "#f29900", "#d93025")
_A_ROW = 3


@dataclass(frozen=True)
class Panel:
    """A supernet: (subnets,) top-1 in [0, 1], alone on test (nan if unknown) and inherited on the search part."""

    title: str
    alone: Floats
    inherited: Floats


def plot(panels: list[Panel], patch_size: Floats, path: Path) -> None:
    """A panel a supernet on common axes, a colour a patch size (subnets,); draws nothing without panels."""
    if not panels:
        return
    from matplotlib.figure import Figure  # here: the machines where rows are made need not have it

    columns, lines = min(len(panels), _A_ROW), -(-len(panels) // _A_ROW)
    figure = Figure(figsize=(4 * columns + 0.4, 4.2 * lines + 0.4), dpi=130, layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for patch, colour in zip(np.unique(patch_size), _COLOURS, strict=False):
            members = patch_size == patch
            x, y = 100 * panel.alone[members], 100 * panel.inherited[members]
            axes.scatter(x, y, s=22, color=colour, alpha=0.85, lw=0, label=f"patch size {patch:.0f}")
        ends = 100 * np.array([np.nanmin(panel.alone), np.nanmax(panel.alone)])
        axes.plot(ends, ends, color="#9aa0a6", lw=1, ls="--", zorder=0, label="equal")
        axes.set_title(panel.title, fontsize=10)
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.grid(alpha=0.25)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    figure.supxlabel("stand-alone top-1 on the test part, %", fontsize=10)
    figure.supylabel("inherited top-1 on the search part, %", fontsize=10)
    figure.savefig(path)
