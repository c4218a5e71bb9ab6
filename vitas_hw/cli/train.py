"""``vitas-hw train``"""

from __future__ import annotations

from typing import Annotated

import typer

from vitas_hw.cli.options import (
    DEFAULT_RUN,
    FlopsOption,
    JsonOption,
    LatencyOption,
    ParamsOption,
    RunOption,
    SeedOption,
    SpaceOption,
)


def train(
    space: SpaceOption = None,
    data: Annotated[str, typer.Option("--data", help="Images to train on: digits.")] = "digits",
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the training images.")] = None,
    latency: LatencyOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    sharing: Annotated[str, typer.Option("--sharing", help="Weight-sharing scheme: ordinal.")] = "ordinal",
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the weight-shared super-transformer of a space.

    With a budget, the identity probability is searched so that sampled subnets cost that much on average.

    Example: vitas-hw train --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget
    from vitas_hw.workflows.run import Run

    budget = Budget.parse(latency, flops, params)
    from vitas_hw.workflows.train import train as train_supernet

    done = train_supernet(
        Run(run),
        space=space,
        data=data,
        budget=budget,
        epochs=epochs,
        sharing=sharing,
        seed=seed,
        progress=console.Reporter(),
    )
    if as_json:
        console.print_json({"checkpoint": str(done.path), "epochs": done.epochs, "top1": done.top1})
        return
    console.table(
        f"Super-transformer of {done.supernet.space.name}",
        ["", "value"],
        [
            ["epochs", str(done.epochs)],
            ["identity probability", f"{done.identity.p:.3f}"],
            ["top-1 of 10 random subnets, mean (search split)", console.percent(done.top1)],
        ],
    )
    console.OUT.print(f"Checkpoint: {done.path}", markup=False)
    console.OUT.print("Next: vitas-hw profile, then vitas-hw search --latency 5ms", markup=False)
