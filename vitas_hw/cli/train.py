"""``vitas-hw train``"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vitas_hw.cli.options import (
    DEFAULT_RUN,
    RECIPE,
    AccumulateOption,
    AutocastOption,
    BatchSizeOption,
    CompileOption,
    EmaOption,
    EpochsOption,
    FlopsOption,
    FreshOption,
    JsonOption,
    LatencyOption,
    LearningRateOption,
    MaxTimeOption,
    ParamsOption,
    RunOption,
    SeedOption,
    SpaceOption,
    TorchDeviceOption,
    WorkersOption,
)

_DATA = "digits (default), folder:PATH, hfds/NAME, wds/PATH ..."


def train(
    space: SpaceOption = None,
    data: Annotated[str, typer.Option("--data", help=_DATA, show_default=False)] = "digits",
    latency: LatencyOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="A pretrained ViT: a name timm knows, or NAME:FILE.", rich_help_panel=RECIPE),
    ] = None,
    sharing: Annotated[
        str | None, typer.Option("--sharing", help="ordinal, bilateral or cyclic.", rich_help_panel=RECIPE)
    ] = None,
    private: Annotated[
        str | None,
        typer.Option("--private", help="patch_embed,cls_token,pos_embed,qk, or none.", rich_help_panel=RECIPE),
    ] = None,
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    lr: LearningRateOption = None,
    sandwich: Annotated[
        bool, typer.Option("--sandwich", help="Largest, two random, smallest each step.", rich_help_panel=RECIPE)
    ] = False,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="A name timm knows, or NAME:FILE.", rich_help_panel=RECIPE)
    ] = None,
    ema: EmaOption = None,
    accumulate: AccumulateOption = 1,
    autocast: AutocastOption = None,
    search_share: Annotated[
        float | None,
        typer.Option("--search-share", help="Training images held out for the search.", rich_help_panel=RECIPE),
    ] = None,
    train_split: Annotated[
        str | None, typer.Option("--train-split", help="The name of the data's own part.", rich_help_panel=RECIPE)
    ] = None,
    val_split: Annotated[
        str | None, typer.Option("--val-split", help="The same, to test on.", rich_help_panel=RECIPE)
    ] = None,
    search_split: Annotated[
        str | None, typer.Option("--search-split", help="The same, to search on.", rich_help_panel=RECIPE)
    ] = None,
    device: TorchDeviceOption = "auto",
    workers: WorkersOption = 0,
    compile_: CompileOption = False,
    max_time: MaxTimeOption = None,
    fresh: FreshOption = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the weight-shared super-transformer of a space. Killed, the same command goes on.
    With a budget, identity shifting is drawn so often that sampled subnets cost that much on average.

    Example: vitas-hw train --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget, parse_duration

    given: dict[str, Any] = {
        "sharing": sharing,
        "private": None if private is None else tuple(p for p in private.split(",") if p and private != "none"),
        "max_time_s": None if max_time is None else parse_duration(max_time),
    }
    budget = Budget.parse(latency, flops, params)
    from vitas_hw.core.progress import SILENT
    from vitas_hw.runs.directory import Run
    from vitas_hw.training.distributed import ranks_of_environment
    from vitas_hw.workflows.train.settings import TrainSettings
    from vitas_hw.workflows.train.train import train as train_supernet

    settings = TrainSettings(
        data=data,
        budget=budget,
        init=init,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        sandwich=sandwich,
        teacher=teacher,
        ema=ema,
        accumulate=accumulate,
        autocast=autocast,
        search_share=search_share,
        train_split=train_split,
        val_split=val_split,
        search_split=search_split,
        device=device,
        workers=workers,
        compile=compile_,
        seed=seed,
        **{name: value for name, value in given.items() if value is not None},
    )
    first = ranks_of_environment().first
    done = train_supernet(
        Run(run), settings, space=space, fresh=fresh, progress=console.Reporter() if first else SILENT
    )
    if not first:
        return
    if as_json:
        console.print_json({"checkpoint": str(done.path), "epochs": done.epochs, "top1": done.top1})
        return
    if done.top1 is not None:
        console.table(
            f"Super-transformer of {Run(run).space(None).name}",
            ["", "value"],
            [
                ["epochs", str(done.epochs)],
                ["identity probability", f"{done.identity.p:.3f}"],
                ["top-1 of 10 random subnets, mean (search split)", console.percent(done.top1)],
            ],
        )
        console.OUT.print("Next: vitas-hw profile, then vitas-hw search --latency 5ms", markup=False)
    console.OUT.print(f"Checkpoint: {done.path}", markup=False)
