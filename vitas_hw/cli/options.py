"""The options that several commands share."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.runs.directory import DEFAULT_RUN as DEFAULT_RUN
from vitas_hw.runs.directory import HOLDERS, Run

WHERE = "Device and time"
SUBNETS = (
    "smallest, largest, random:7; choice, front:2 or a digest (of the last search); vitas-c, deit-ti or a timm ViT; "
    "JSON, or a .json or .safetensors file."
)


def is_first() -> bool:
    """Whether this is the only process, or the first of torchrun's."""
    return os.environ.get("RANK", "0") == "0"


def _not_held(context: typer.Context, run: Path) -> Path:
    """A run that another process works on is refused at once, before torch is loaded to work on it."""
    if context.info_name in HOLDERS and is_first():
        Run(run).refuse_if_held()
    return run


def in_run(run: Path, *commands: str) -> str:
    """Commands to type next, in the run that has just been worked on."""
    where = "" if run == DEFAULT_RUN else f" --run {shlex.quote(str(run))}"
    return ", then ".join(f"vitas-hw {command}{where}" for command in commands)


RunOption = Annotated[Path, typer.Option("--run", help="Folder for all files of the run.", callback=_not_held)]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="Search space: a preset or a YAML file. Default: the run's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LatencyOption = Annotated[str | None, typer.Option("--latency", help="Latency budget: 5ms, or a range, 4ms-5ms.")]
ThroughputOption = Annotated[
    str | None, typer.Option("--throughput", help="Images per second at the target's batch size: 500/s.")
]
FlopsOption = Annotated[str | None, typer.Option("--flops", help="Budget in MACs: 1.3G.")]
ParamsOption = Annotated[str | None, typer.Option("--params", help="Budget in parameters: 6M.")]
MemoryOption = Annotated[str | None, typer.Option("--memory", help="Budget of memory at inference: 200MB.")]

FreshOption = Annotated[bool, typer.Option("--fresh", help="Discard an unfinished training.", rich_help_panel=WHERE)]
