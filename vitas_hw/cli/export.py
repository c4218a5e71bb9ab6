"""``vitas-hw export``"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption
from vitas_hw.workflows.export.settings import ExportSettings

if TYPE_CHECKING:
    from vitas_hw.export.parity import Exported

_HOW = "Format"


@takes(ExportSettings)
def export(
    settings: Callable[..., ExportSettings],
    subnet: Annotated[str | None, typer.Argument(help=f"{SUBNETS} Default: choice.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write an ONNX file.")] = False,
    openvino: Annotated[bool, typer.Option("--openvino", help="Write OpenVINO IR (.xml and .bin).")] = False,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="Write a TensorRT engine.")] = False,
    timm: Annotated[bool, typer.Option("--timm", help="Write a folder that timm loads.")] = False,
    torch: Annotated[bool, typer.Option("--torch", help="Write a torch.export program (.pt2).")] = False,
    rank: Annotated[
        int | None,
        typer.Option("--rank", help="Rank in the search's front; 1 is the most accurate.", rich_help_panel=_HOW),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="File to write.", rich_help_panel=_HOW)] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Export a subnet. A file is kept only if its logits match PyTorch's on real images.

    Example: vitas-hw export --onnx --timm
    """
    from vitas_hw.cli import console
    from vitas_hw.core.deadline import Deadline

    formats = {"onnx": onnx, "openvino": openvino, "tensorrt": tensorrt, "timm": timm, "torch": torch}
    asked = settings(formats=tuple(name for name, wanted in formats.items() if wanted))
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    from vitas_hw.runs.artifacts import last_result
    from vitas_hw.runs.directory import Run

    if subnet is None:
        last_result(Run(run))  # refused before anything heavy is loaded
    from vitas_hw.workflows.export.export import export as export_subnet

    progress = console.Reporter()
    done = export_subnet(Run(run), asked, subnet=subnet, rank=rank, output=output, deadline=deadline, progress=progress)
    if as_json:
        first = done[0]
        found = first.beside
        console.print_json(
            {one.format: str(one.path) for one in done}
            | {"top1": found.top1, "top1_split": None if found.top1 is None else "test", "images": first.parity.images}
            | {"largest_difference": found.largest_difference, "agreement": found.agreement}
            | {"reports": {one.format: one.to_dict() for one in done}}
        )
        return

    def row(one: Exported) -> list[str]:
        found = one.beside
        times = " to ".join(console.milliseconds(value) for value in one.latency_ms.values())
        return [
            f"{one.format} {one.precision}",
            console.percent(found.top1),
            f"{found.agreement:.2%}",
            f"{found.largest_difference:.1e}",
            times or "-",
        ]

    first = done[0]
    of_which = "images" if first.parity.top1 is None else "test images"
    console.table(
        f"Exports beside torch (top-1 {console.percent(first.parity.top1)}) on {first.parity.images} {of_which}",
        ["format", "top-1", "same top-1", "largest difference", "p50, fp32 to this"],
        [row(one) for one in done],
    )
    for one in done:
        console.OUT.print(f"{one.format}: {one.path}", markup=False)
    console.OUT.print(f"Model card: {first.card}", markup=False)
