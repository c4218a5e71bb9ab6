"""``vitas-hw export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption


def export(
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX, float32, any batch size.")] = False,
    output: Annotated[Path | None, typer.Option("--output", help="File to write. Default: in the run.")] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Write the last search's choice as a file, checked against torch before it is kept.

    Example: vitas-hw export --onnx
    """
    from vitas_hw.cli import console
    from vitas_hw.core.errors import InputError

    if not onnx:
        raise InputError("Say which format to export.", "Run: vitas-hw export --onnx")
    from vitas_hw.workflows.export import export_run
    from vitas_hw.workflows.run import Run

    done = export_run(Run(run), output)
    parity = done.parity
    if as_json:
        console.print_json(
            {"onnx": str(done.path), "top1": parity.top1_onnx, "top1_split": "test", "images": parity.images}
            | {"largest_difference": parity.largest_difference, "agreement": parity.agreement}
        )
        return
    console.table(
        f"Export of {done.path}",
        ["", "torch", "ONNX"],
        [
            [f"top-1 on test ({parity.images} images)", f"{parity.top1_torch:.2%}", f"{parity.top1_onnx:.2%}"],
            ["largest difference of a logit", "", f"{parity.largest_difference:.1e}"],
        ],
    )
