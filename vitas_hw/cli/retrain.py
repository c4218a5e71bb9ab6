"""``vitas-hw retrain``"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, FreshOption, JsonOption, RunOption, in_run
from vitas_hw.workflows.train.settings import RetrainSettings


@takes(RetrainSettings, leave_out=("save_every_s",))
def retrain(
    settings: Callable[..., RetrainSettings],
    subnet: Annotated[str | None, typer.Argument(help=f"{SUBNETS} Default: choice.")] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", help="Rank in the search's front; 1 is the most accurate.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write the weights to. Default: in the run.")
    ] = None,
    fresh: FreshOption = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Train one subnet to its full accuracy. Repeat to resume. Works under torchrun.

    Example: vitas-hw retrain --init supernet
    """
    from vitas_hw.cli import console
    from vitas_hw.core.deadline import Deadline

    asked = settings()
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    from vitas_hw.core.settings import what_decides
    from vitas_hw.runs.artifacts import last_result
    from vitas_hw.runs.directory import Run
    from vitas_hw.training.checkpoint_header import refuse_other_settings

    if subnet is None:
        last_result(Run(run))  # refused before anything heavy is loaded
    if not fresh:  # before anything heavy is loaded
        refuse_other_settings(Run(run).retraining_state, what_decides(asked), but=("data",))
    from vitas_hw.training.distributed import ranks_of_environment
    from vitas_hw.workflows.train.retrain import retrain as retrain_subnet

    done = retrain_subnet(
        Run(run),
        asked,
        subnet=subnet,
        rank=rank,
        output=output,
        fresh=fresh,
        deadline=deadline,
        progress=console.Reporter(),
    )
    if not ranks_of_environment().first:
        return
    if as_json:
        found = {"checkpoint": str(done.path), "epochs": done.epochs, "top1": done.top1}
        console.print_json(found | {"inherited_top1": done.inherited_top1, "subnet": done.subnet.to_dict()})
        return
    if done.top1 is not None:
        console.table(
            f"Subnet {done.subnet.digest[:8]}, top-1 on the search split",
            ["", "value"],
            [["inherited", console.percent(done.inherited_top1)], ["retrained", console.percent(done.top1)]],
        )
        console.OUT.print(f"Next: {in_run(run, 'export --onnx')}", markup=False)
    console.OUT.print(f"Weights: {done.path}", markup=False)
