"""The options that several commands share."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.runs.directory import DEFAULT_RUN as DEFAULT_RUN
from vitas_hw.runs.directory import HOLDERS, Run

WHERE = "Where and how long"
SUBNETS = (
    "smallest, largest, a published name, choice, front:3, a digest, random:SEED, a plain ViT's name in timm, JSON, or "
    "a file of JSON or .safetensors."
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


RunOption = Annotated[Path, typer.Option("--run", help="Folder for all results of this run.", callback=_not_held)]
SpaceOption = Annotated[str | None, typer.Option("--space", help="A preset or a YAML file. Default: the run's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LatencyOption = Annotated[str | None, typer.Option("--latency", help="Latency, for example 5ms, or a range: 4ms-5ms.")]
ThroughputOption = Annotated[
    str | None, typer.Option("--throughput", help="Images a second, at the target's batch size: 500/s.")
]
FlopsOption = Annotated[str | None, typer.Option("--flops", help="MACs, for example 1.3G.")]
ParamsOption = Annotated[str | None, typer.Option("--params", help="Parameters, for example 6M.")]
MemoryOption = Annotated[str | None, typer.Option("--memory", help="Memory while it runs, for example 200MB.")]

FreshOption = Annotated[bool, typer.Option("--fresh", help="Forget an unfinished training.", rich_help_panel=WHERE)]
