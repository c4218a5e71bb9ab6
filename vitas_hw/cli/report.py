"""``vitas-hw report``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption


def report(
    run: RunOption = DEFAULT_RUN,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write. Default: report.html in the run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained HTML page about a run: front, predictions, search, architecture, how to repeat it.

    Example: vitas-hw report
    """
    from vitas_hw.cli import console
    from vitas_hw.report.page import report as write
    from vitas_hw.runs.directory import Run

    path, found = write(Run(run), output, progress=console.Reporter())
    if as_json:
        figures = {figure.label: figure.value for figure in found.figures}
        console.print_json({"report": str(path), "figures": figures, "warnings": found.warnings})
        return
    for figure in found.figures:
        note = f"  ({figure.note})" if figure.note else ""
        console.OUT.print(f"{figure.label}: {figure.value}{note}", markup=False)
    console.OUT.print(f"Report: {path}", markup=False)
