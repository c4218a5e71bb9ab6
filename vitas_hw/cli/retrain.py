"""``vitas-hw retrain``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, TorchDeviceOption

_RECIPE, _WHERE = "Recipe (default: what suits the data)", "Where and how long"


def retrain(
    subnet: Annotated[
        str | None, typer.Argument(help="A published name, a JSON file, smallest, largest. Default: the choice.")
    ] = None,
    init: Annotated[
        str, typer.Option("--init", help="fresh, or supernet: its weights and a tenth of the epochs.")
    ] = "fresh",
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="supernet (its largest), a name timm knows, or NAME:FILE.")
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="Of the search's front, 1 the most accurate.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Default: the run's.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", rich_help_panel=_RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Over all processes.", rich_help_panel=_RECIPE)
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", rich_help_panel=_RECIPE)] = None,
    ema: Annotated[float | None, typer.Option("--ema", help="Decay.", rich_help_panel=_RECIPE)] = None,
    accumulate: Annotated[
        int, typer.Option("--accumulate", help="Batches an optimiser step.", rich_help_panel=_RECIPE)
    ] = 1,
    autocast: Annotated[str | None, typer.Option("--autocast", help="bf16 or fp16.", rich_help_panel=_RECIPE)] = None,
    drop_path: Annotated[float, typer.Option("--drop-path", help="Stochastic depth.", rich_help_panel=_RECIPE)] = 0.0,
    device: TorchDeviceOption = "auto",
    workers: Annotated[
        int, typer.Option("--workers", help="Processes that decode images.", rich_help_panel=_WHERE)
    ] = 0,
    compile_: Annotated[bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=_WHERE)] = False,
    max_time: Annotated[
        str | None, typer.Option("--max-time", help="Stop in time: 90s, 30m, 8h.", rich_help_panel=_WHERE)
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="File of weights. Default: in the run.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an unfinished retraining.")] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train one subnet to its full accuracy; also under torchrun. Goes on where it was killed.

    Example: vitas-hw retrain --init supernet --teacher supernet
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import parse_duration

    max_time_s = None if max_time is None else parse_duration(max_time)
    from vitas_hw.training.ranks import ranks_of_environment
    from vitas_hw.workflows.progress import SILENT
    from vitas_hw.workflows.retrain import retrain as retrain_subnet
    from vitas_hw.workflows.retrain_settings import RetrainSettings
    from vitas_hw.workflows.run import Run

    settings = RetrainSettings(
        init=init,
        teacher=teacher,
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        ema=ema,
        accumulate=accumulate,
        autocast=autocast,
        drop_path=drop_path,
        seed=seed,
        device=device,
        workers=workers,
        compile=compile_,
        max_time_s=max_time_s,
    )
    first = ranks_of_environment().first
    done = retrain_subnet(
        Run(run),
        settings,
        subnet=subnet,
        rank=rank,
        output=output,
        fresh=fresh,
        progress=console.Reporter() if first else SILENT,
    )
    if not first:
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
        console.OUT.print("Next: vitas-hw export --onnx", markup=False)
    console.OUT.print(f"Weights: {done.path}", markup=False)
