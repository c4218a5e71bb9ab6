"""``vitas-hw train``"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import (
    DEFAULT_RUN,
    FlopsOption,
    FreshOption,
    JsonOption,
    LatencyOption,
    ParamsOption,
    RunOption,
    SpaceOption,
    in_run,
)
from vitas_hw.workflows.train.settings import TrainSettings


@takes(TrainSettings, leave_out=("save_every_s",))
def train(
    settings: Callable[..., TrainSettings],
    latency: LatencyOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    fresh: FreshOption = False,
    space: SpaceOption = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Train the supernet. Repeat to resume. With a budget, sampled subnets cost that much on average.

    Example: vitas-hw train --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget
    from vitas_hw.core.deadline import Deadline

    asked = settings(budget=Budget.parse(latency, flops, params))
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    from vitas_hw.core.settings import what_decides
    from vitas_hw.runs.directory import Run
    from vitas_hw.training.checkpoint_header import refuse_other_settings

    Run(run).space(space)  # refused before anything heavy is loaded
    if not fresh:
        refuse_other_settings(Run(run).training_state, what_decides(asked), but=("depths",))
    from vitas_hw.training.distributed import ranks_of_environment
    from vitas_hw.workflows.train.train import train as train_supernet

    progress = console.Reporter()
    done = train_supernet(Run(run), asked, space=space, fresh=fresh, deadline=deadline, progress=progress)
    if not ranks_of_environment().first:
        return
    if as_json:
        found = {"checkpoint": str(done.path), "epochs": done.epochs, "top1": done.top1}
        found["largest_top1"] = done.largest_top1
        console.print_json(found | {"health": None if done.health is None else done.health.to_dict()})
        return
    if done.top1 is not None:
        console.table(
            f"Supernet of {Run(run).space(None).name}",
            ["", "value"],
            [
                ["epochs", str(done.epochs)],
                ["least share of the steps that a block got", console.percent(min(done.block_shares))],
                *(
                    [f"top-1 of the largest subnet {when} (search split)", console.percent(top1)]
                    for when, top1 in zip(("before", "after"), done.largest_top1 or (), strict=False)
                ),
                ["top-1 of 10 random subnets, mean (search split)", console.percent(done.top1)],
            ],
        )
        assert done.health is not None
        base = done.health.baseline
        console.table(
            f"Loss and top-1 on {done.health.images} images of the search split",
            ["subnets", "loss", "top-1"],
            [
                *([one.name, f"{one.loss:.3f}", console.percent(one.top1)] for one in done.health.groups),
                *([[base.name, "-", console.percent(base.best)]] if base else []),
            ],
        )
        for said in done.health.advice:
            console.OUT.print(fill(said, 80), markup=False)
        shares = ", ".join(f"{share:.0%}" for share in done.block_shares)
        console.OUT.print(fill(f"Share of the training steps of each block: {shares}.", 80), markup=False)
        after = ["search"] if Run(run).predictors.is_dir() else ["profile", "search"]
        console.OUT.print(f"Next: {in_run(run, *after)}", markup=False)
    console.OUT.print(f"Checkpoint: {done.path}", markup=False)
