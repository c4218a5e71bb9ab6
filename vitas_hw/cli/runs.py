"""``vitas-hw runs``"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption

if TYPE_CHECKING:
    from vitas_hw.report.runs import RunSummary


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds the runs.")] = DEFAULT_RUN.parent,
    as_json: JsonOption = False,
) -> None:
    """List runs: last step, target, budget, top-1, latency.

    Example: vitas-hw runs
    """
    from vitas_hw.cli import console
    from vitas_hw.report.runs import list_runs

    found = list_runs(folder)
    if as_json:
        console.print_json({"runs": [asdict(run) for run in found]})
        return
    if not found:
        console.OUT.print(f"There is no run in {folder}. Begin one: vitas-hw quickstart", markup=False)
        return
    columns = ["run", "step", "space, target", "budget", "top-1", "p50", "age"]
    console.table(f"Runs in {folder}", columns, [_row(run) for run in found])
    for run in found:
        if run.problem:
            console.ERR.print(run.problem, markup=False)
    console.OUT.print("Look at one: vitas-hw report --run DIR", markup=False)


def _row(run: RunSummary) -> list[str]:
    from vitas_hw.cli import console
    from vitas_hw.core.errors import printable

    split = "" if run.top1 is None or run.top1_split == "test" else " (search split)"
    predicted = "" if run.latency_ms is None or run.latency_measured else " (predicted)"
    return [
        printable(Path(run.path).name),
        "\n".join([run.step, *(f"{name} unfinished" for name in run.unfinished)]),
        "\n".join(filter(None, (run.space, _target(run.target)))) or "-",
        (run.budget or "-").replace("latency ", "").replace("at most", "≤"),
        console.percent(run.top1) + split,
        console.milliseconds(run.latency_ms) + predicted,
        _age(run.age_s),
    ]


def _target(slug: str | None) -> str:
    """What fits a column: device, backend, precision."""
    from vitas_hw.core.target import Target

    if slug is None:
        return ""
    target = Target.from_slug(slug)
    return f"{target.device_name}\n{target.backend} {target.precision}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
