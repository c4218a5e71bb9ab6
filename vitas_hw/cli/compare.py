"""``vitas-hw compare``"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption
from vitas_hw.core.statistic import P50
from vitas_hw.workflows.compare import Compared, CompareSettings, Comparison, LatencyOn


@takes(CompareSettings, leave_out=("device_name",))
def compare(
    settings: Callable[..., CompareSettings],
    subnets: Annotated[list[str] | None, typer.Argument(help=SUBNETS)] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Compare subnets on one or several targets: latency from interleaved measurements, or predicted elsewhere.

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
        console.print_json(_as_json(done))
        return

    one_here = done.here_alone
    shown = ["params", "p50", "p90"] if one_here else [_heading(one) for one in done.rows[0].latencies]

    def cells(row: Compared) -> list[str]:
        macs, params = console.sizes(row.subnet)
        found = [row.p50_ms, row.p90_ms] if one_here else [one.ms for one in row.latencies]
        sizes = [macs, params] if one_here else [macs]  # more columns are wider than a terminal
        return [row.name, *sizes, *map(console.milliseconds, found), console.percent(row.top1)]

    console.table(done.title, ["subnet", "MACs", *shown, "top-1"], [cells(row) for row in done.rows])
    for row in done.rows:
        for one in row.latencies:
            where = "" if len(done.targets) == 1 else f" on {one.target.slug}"
            if one.failed:
                console.ERR.print(f"{row.name} does not run{where}: {one.failed}", markup=False)
            if not one.inside:
                said = f"{row.name} lies outside what the predictor of {one.target.slug} has seen"
                console.ERR.print(f"{said}; its latency there may be far off.", markup=False)


def _heading(one: LatencyOn) -> str:
    """Of a column: the target, but for its image size, which all have in common; and what its numbers are."""
    target = one.target
    how = f"{target.precision} b{target.batch_size}" + (f" t{target.threads}" if target.threads else "")
    told = one.how if one.statistic == P50 else f"{one.how} {one.statistic}"
    return f"{target.device_name}\n{target.backend}\n{how}\n{told}"


def _as_json(done: Comparison) -> dict[str, Any]:
    """One entry for each target in every row; p50 and p90 of a row are those measured on the first target."""

    def entry(one: LatencyOn) -> dict[str, Any]:
        about = {"target": one.target.slug, "how": one.how, "statistic": one.statistic, "latency_ms": one.ms}
        if one.measured:
            return about | {"p90_ms": one.p90_ms, "failed": one.failed}
        return about | {"lower_ms": one.lower_ms, "upper_ms": one.upper_ms, "inside": one.inside}

    rows = [
        {"name": row.name, "subnet": row.subnet.to_dict(), "macs": row.subnet.macs, "params": row.subnet.params}
        | {"p50_ms": row.p50_ms, "p90_ms": row.p90_ms, "failed": row.failed, "top1": row.top1}
        | {"latencies": [entry(one) for one in row.latencies]}
        for row in done.rows
    ]
    return {
        "target": done.target.slug,
        "targets": [one.slug for one in done.targets],
        "whole": done.whole,
        "rows": rows,
    }
