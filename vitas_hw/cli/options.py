"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.workflows.run import DEFAULT_RUN

RunOption = Annotated[Path, typer.Option("--run", help="Directory where each step keeps what it made.")]
SpaceOption = Annotated[
    str | None, typer.Option("--space", help="A preset (see vitas-hw spaces) or a YAML file. Default: the run's.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Makes the step repeatable.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
LatencyOption = Annotated[str | None, typer.Option("--latency", help="For example 5ms, or a range: 4ms-5ms.")]
FlopsOption = Annotated[str | None, typer.Option("--flops", help="MACs, for example 1.3G.")]
TorchDeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto takes a GPU if there is one.")
]
ParamsOption = Annotated[str | None, typer.Option("--params", help="Parameters, for example 6M.")]

__all__ = [
    "DEFAULT_RUN",
    "FlopsOption",
    "JsonOption",
    "LatencyOption",
    "ParamsOption",
    "RunOption",
    "SeedOption",
    "SpaceOption",
    "TorchDeviceOption",
]
