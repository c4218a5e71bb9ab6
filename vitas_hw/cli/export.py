"""``vitas-hw export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption

_HOW, _CHECK = "How it is written", "How it is checked"
_SUBNET = "A published name, a JSON file, smallest, largest, or trained .safetensors. Default: the search's choice."


def export(
    subnet: Annotated[str | None, typer.Argument(help=_SUBNET)] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="For ONNX Runtime.")] = False,
    openvino: Annotated[bool, typer.Option("--openvino", help="OpenVINO's IR.")] = False,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="An engine.")] = False,
    timm: Annotated[bool, typer.Option("--timm", help="A folder timm loads.")] = False,
    torch: Annotated[bool, typer.Option("--torch", help="torch.export, .pt2.")] = False,
    rank: Annotated[int | None, typer.Option("--rank", help="Of the front, 1 is best.", rich_help_panel=_HOW)] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16 or int8; timm and torch stay fp32.", rich_help_panel=_HOW)
    ] = "fp32",
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Fix it. Default: any.", rich_help_panel=_HOW)
    ] = None,
    opset: Annotated[int | None, typer.Option("--opset", help="Of ONNX, 18 to 23.", rich_help_panel=_HOW)] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option("--compute-capability", help="Of the engine, as 8.9.", rich_help_panel=_HOW)
    ] = None,
    max_drop: Annotated[
        float, typer.Option("--max-drop", help="Top-1 that int8 may cost, as a share.", rich_help_panel=_CHECK)
    ] = 0.01,
    images: Annotated[int, typer.Option("--images", help="Most to compare on.", rich_help_panel=_CHECK)] = 1000,
    data: Annotated[str | None, typer.Option("--data", help="To compare on.", rich_help_panel=_CHECK)] = None,
    output: Annotated[Path | None, typer.Option("--output", help="File to write.", rich_help_panel=_HOW)] = None,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a subnet for other tools, each file checked against torch on real images before it is kept.

    Example: vitas-hw export --onnx --timm
    """
    from vitas_hw.cli import console
    from vitas_hw.core.errors import InputError

    asked = {"onnx": onnx, "openvino": openvino, "tensorrt": tensorrt, "timm": timm, "torch": torch}
    formats = tuple(name for name, wanted in asked.items() if wanted)
    if not formats:
        raise InputError("Say which format to export.", "Run: vitas-hw export --onnx")
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.export.export import export as export_subnet
    from vitas_hw.workflows.export.job import Exported, ExportSettings

    settings = ExportSettings(
        formats=formats,
        precision=precision,
        batch_size=batch_size,
        opset=opset,
        compute_capabilities=tuple(compute_capability or ()),
        max_drop=max_drop,
        images=images,
        data=data,
        seed=seed,
    )
    done = export_subnet(Run(run), settings, subnet=subnet, rank=rank, output=output, progress=console.Reporter())
    if as_json:
        first = done[0]
        found = first.parity.others[first.format]
        console.print_json(
            {one.format: str(one.path) for one in done}
            | {"top1": found.top1, "top1_split": None if found.top1 is None else "test", "images": first.parity.images}
            | {"largest_difference": found.largest_difference, "agreement": found.agreement}
            | {"reports": {one.format: one.to_dict() for one in done}}
        )
        return

    def row(one: Exported) -> list[str]:
        found = one.parity.others[one.format]
        times = " to ".join(console.milliseconds(value) for value in one.latency_ms.values())
        return [
            f"{one.format} {one.precision}",
            console.percent(found.top1),
            f"{found.agreement:.2%}",
            f"{found.largest_difference:.1e}",
            times or "-",
        ]

    first = done[0]
    console.table(
        f"Exports beside torch (top-1 {console.percent(first.parity.top1)}) on {first.parity.images} images",
        ["format", "top-1", "same top-1", "largest difference", "p50, fp32 to this"],
        [row(one) for one in done],
    )
    for one in done:
        console.OUT.print(f"{one.format}: {one.path}", markup=False)
    console.OUT.print(f"Model card: {first.card}", markup=False)
