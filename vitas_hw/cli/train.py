"""``vitas-hw train``"""

from __future__ import annotations

from typing import Annotated, Any

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
    TorchDeviceOption,
)

_DATA = "digits, fashion-mnist[:FOLDER], folder:PATH, hfds/NAME, wds/PATH or torch/NAME."
_RECIPE, _DATA_PANEL, _WHERE = "Recipe (default: what suits the data)", "Data", "Where and how long"


def train(
    space: SpaceOption = None,
    data: Annotated[str, typer.Option("--data", help=_DATA)] = "digits",
    latency: LatencyOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    init: Annotated[
        str | None, typer.Option("--init", help="Start from a pretrained ViT: a name timm knows, or NAME:FILE.")
    ] = None,
    sharing: Annotated[str | None, typer.Option("--sharing", help="ordinal, bilateral or cyclic.")] = None,
    private: Annotated[
        str | None, typer.Option("--private", help="Which of patch_embed,cls_token,pos_embed,qk are; none for none.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", rich_help_panel=_RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Over all processes.", rich_help_panel=_RECIPE)
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", rich_help_panel=_RECIPE)] = None,
    sandwich: Annotated[
        bool, typer.Option("--sandwich", help="Largest, two random, smallest each step.", rich_help_panel=_RECIPE)
    ] = False,
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="A name timm knows, or NAME:FILE.", rich_help_panel=_RECIPE)
    ] = None,
    ema: Annotated[float | None, typer.Option("--ema", help="For example 0.9998.", rich_help_panel=_RECIPE)] = None,
    accumulate: Annotated[
        int, typer.Option("--accumulate", help="Batches an optimiser step.", rich_help_panel=_RECIPE)
    ] = 1,
    autocast: Annotated[str | None, typer.Option("--autocast", help="bf16 or fp16.", rich_help_panel=_RECIPE)] = None,
    search_share: Annotated[
        float | None,
        typer.Option("--search-share", help="Training images held out for the search.", rich_help_panel=_DATA_PANEL),
    ] = None,
    train_split: Annotated[str | None, typer.Option("--train-split", rich_help_panel=_DATA_PANEL)] = None,
    val_split: Annotated[str | None, typer.Option("--val-split", rich_help_panel=_DATA_PANEL)] = None,
    search_split: Annotated[str | None, typer.Option("--search-split", rich_help_panel=_DATA_PANEL)] = None,
    device: TorchDeviceOption = "auto",
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that decode images.", rich_help_panel=_WHERE)
    ] = 0,
    compile_: Annotated[bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=_WHERE)] = False,
    max_time: Annotated[
        str | None, typer.Option("--max-time", help="Stop in time: 90s, 30m, 8h.", rich_help_panel=_WHERE)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an unfinished training.")] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train the weight-shared super-transformer of a space; also under torchrun. Goes on where it was killed.

    With a budget, the identity probability is searched so that sampled subnets cost that much on average.

    Example: vitas-hw train --latency 5ms

    Several GPUs: torchrun --nproc-per-node 8 -m -- vitas_hw train --data folder:photos
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget, parse_duration

    given: dict[str, Any] = {
        "sharing": sharing,
        "private": None if private is None else tuple(p for p in private.split(",") if p and private != "none"),
        "max_time_s": None if max_time is None else parse_duration(max_time),
    }
    budget = Budget.parse(latency, flops, params)
    from vitas_hw.training.ranks import ranks_of_environment
    from vitas_hw.workflows.progress import SILENT
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.train import train as train_supernet
    from vitas_hw.workflows.train_settings import TrainSettings

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
