"""``vitas-hw evaluate``"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption
from vitas_hw.workflows.evaluate import Evaluated, EvaluateSettings


@takes(EvaluateSettings)
def evaluate(
    settings: Callable[..., EvaluateSettings],
    subnets: Annotated[list[str] | None, typer.Argument(help=SUBNETS)] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Compute top-1 and top-5 of subnets with the supernet's weights.

    Example: vitas-hw evaluate smallest largest --random 10
    """
    from vitas_hw.cli import console
    from vitas_hw.core.deadline import Deadline
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.evaluate import evaluate as evaluate_subnets

    asked = settings()
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    with deadline.noting_signals():  # what was evaluated by then is shown
        rows = evaluate_subnets(Run(run), subnets or (), asked, deadline=deadline, progress=console.Reporter())
        _show(rows, asked.split, as_json)


def _show(rows: Sequence[Evaluated], split: str, as_json: bool) -> None:
    from vitas_hw.cli import console

    tops = [(None, None) if row.accuracy is None else (row.accuracy.top1, row.accuracy.top5) for row in rows]
    if as_json:
        found = [
            {"subnet": row.subnet.to_dict(), "top1": top1, "top5": top5}
            | {"macs": row.subnet.macs, "params": row.subnet.params}
            for row, (top1, top5) in zip(rows, tops, strict=True)
        ]
        console.print_json({"split": split, "rows": found})
        return
    console.table(
        f"Subnets with the supernet's weights, on {split}",
        ["subnet", "top-1", "top-5", "MACs", "params"],
        [
            [row.subnet.digest[:8], console.percent(top1), console.percent(top5), *console.sizes(row.subnet)]
            for row, (top1, top5) in zip(rows, tops, strict=True)
        ],
    )
