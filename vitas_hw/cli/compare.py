"""``vitas-hw compare``"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption
from vitas_hw.workflows.compare import CompareSettings, Comparison


@takes(CompareSettings, leave_out=("device_name",))
def compare(
    settings: Callable[..., CompareSettings],
    subnets: Annotated[list[str] | None, typer.Argument(help=SUBNETS)] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Compare subnets on one target: latency from interleaved measurements, costs, top-1.

    Example: vitas-hw compare vitas-c deit-ti deit_tiny_patch16_224
    """
    from vitas_hw.cli import console
    from vitas_hw.core.deadline import Deadline
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.compare import compare as compare_subnets

    asked = settings()
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    with deadline.noting_signals():  # what was measured by then is shown
        done = compare_subnets(Run(run), subnets or (), asked, deadline=deadline, progress=console.Reporter())
        _show(done, as_json)


def _show(done: Comparison, as_json: bool) -> None:
    from vitas_hw.cli import console

    if as_json:
        rows = [
            {"name": row.name, "subnet": row.subnet.to_dict(), "macs": row.subnet.macs, "params": row.subnet.params}
            | {"p50_ms": row.p50_ms, "p90_ms": row.p90_ms, "failed": row.failed, "top1": row.top1}
            for row in done.rows
        ]
        console.print_json({"target": done.target.slug, "whole": done.whole, "rows": rows})
        return
    console.table(
        f"On {done.target.slug}",
        ["subnet", "MACs", "params", "p50", "p90", "top-1"],
        [
            [
                row.name,
                *console.sizes(row.subnet),
                console.milliseconds(row.p50_ms),
                console.milliseconds(row.p90_ms),
                console.percent(row.top1),
            ]
            for row in done.rows
        ],
    )
    for row in done.rows:
        if row.failed:
            console.ERR.print(f"{row.name} does not run: {row.failed}", markup=False)
