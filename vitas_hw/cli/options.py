"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.runs.directory import DEFAULT_RUN

RECIPE, WHERE = "Recipe (default: what suits the data)", "Where and how long"

RunOption = Annotated[Path, typer.Option("--run", help="Keeps what each step made.")]
SpaceOption = Annotated[str | None, typer.Option("--space", help="A preset or a YAML file. Default: the run's.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="INT", help="Makes the step repeatable.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LatencyOption = Annotated[str | None, typer.Option("--latency", help="For example 5ms, or a range: 4ms-5ms.")]
FlopsOption = Annotated[str | None, typer.Option("--flops", help="MACs, for example 1.3G.")]
TorchDeviceOption = Annotated[
    str,
    typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto: a GPU if any.", rich_help_panel=WHERE),
]
ParamsOption = Annotated[str | None, typer.Option("--params", help="Parameters, for example 6M.")]

# of a training
EpochsOption = Annotated[int | None, typer.Option("--epochs", help="Passes over the images.", rich_help_panel=RECIPE)]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", help="Over all processes.", rich_help_panel=RECIPE)
]
LearningRateOption = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.", rich_help_panel=RECIPE)]
EmaOption = Annotated[float | None, typer.Option("--ema", help="Decay, for example 0.9998.", rich_help_panel=RECIPE)]
AccumulateOption = Annotated[
    int, typer.Option("--accumulate", help="Batches an optimiser step.", rich_help_panel=RECIPE)
]
AutocastOption = Annotated[str | None, typer.Option("--autocast", help="bf16 or fp16.", rich_help_panel=RECIPE)]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that decode images.", rich_help_panel=WHERE)]
CompileOption = Annotated[bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=WHERE)]
MaxTimeOption = Annotated[
    str | None, typer.Option("--max-time", help="Stop in time: 90s, 30m, 8h.", rich_help_panel=WHERE)
]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Forget an unfinished training.", rich_help_panel=WHERE)]

__all__ = [
    "DEFAULT_RUN",
    "RECIPE",
    "WHERE",
    "AccumulateOption",
    "AutocastOption",
    "BatchSizeOption",
    "CompileOption",
    "EmaOption",
    "EpochsOption",
    "FlopsOption",
    "FreshOption",
    "JsonOption",
    "LatencyOption",
    "LearningRateOption",
    "MaxTimeOption",
    "ParamsOption",
    "RunOption",
    "SeedOption",
    "SpaceOption",
    "TorchDeviceOption",
    "WorkersOption",
]
