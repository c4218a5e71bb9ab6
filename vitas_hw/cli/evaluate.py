"""``vitas-hw evaluate``"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption
from vitas_hw.workflows.evaluate import EvaluateSettings


@takes(EvaluateSettings)
def evaluate(
    settings: Callable[..., EvaluateSettings],
    subnets: Annotated[list[str] | None, typer.Argument(help=SUBNETS)] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Score subnets, top-1 and top-5, with the weights of the supernet.

    Example: vitas-hw evaluate smallest largest --random 10
    """
    from vitas_hw.cli import console
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.evaluate import evaluate as evaluate_subnets

    asked = settings()
    rows = evaluate_subnets(Run(run), subnets or (), asked, progress=console.Reporter())
    if as_json:
        found = [
            {"subnet": row.subnet.to_dict(), "top1": row.accuracy.top1, "top5": row.accuracy.top5}
            | {"macs": row.subnet.macs, "params": row.subnet.params}
            for row in rows
        ]
        console.print_json({"split": asked.split, "rows": found})
        return
    console.table(
        f"Subnets with the supernet's weights, on {asked.split}",
        ["subnet", "top-1", "top-5", "MACs", "params"],
        [
            [
                row.subnet.digest[:8],
                console.percent(row.accuracy.top1),
                console.percent(row.accuracy.top5),
                *console.sizes(row.subnet),
            ]
            for row in rows
        ],
    )
