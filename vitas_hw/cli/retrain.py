"""``vitas-hw retrain``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    FreshOption,
    JsonOption,
    LearningRateOption,
    MaxTimeOption,
    RunOption,
    SeedOption,
    TorchDeviceOption,
    WorkersOption,
)


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
    epochs: EpochsOption = None,
    batch_size: BatchSizeOption = None,
    lr: LearningRateOption = None,
    ema: EmaOption = None,
    accumulate: AccumulateOption = 1,
    autocast: AutocastOption = None,
    drop_path: Annotated[
        float | None, typer.Option("--drop-path", help="Stochastic depth.", rich_help_panel=RECIPE)
    ] = None,
    device: TorchDeviceOption = "auto",
    workers: WorkersOption = 0,
    compile_: CompileOption = False,
    max_time: MaxTimeOption = None,
    output: Annotated[Path | None, typer.Option("--output", help="File of weights. Default: in the run.")] = None,
    fresh: FreshOption = False,
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
    from vitas_hw.core.progress import SILENT
    from vitas_hw.runs.directory import Run
    from vitas_hw.training.distributed import ranks_of_environment
    from vitas_hw.workflows.train.retrain import retrain as retrain_subnet
    from vitas_hw.workflows.train.settings import RetrainSettings

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
