"""``vitas-hw predict``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import JsonOption


def predict(
    subnets: Annotated[
        list[str] | None, typer.Argument(help="vitas-c, smallest, largest, random:SEED, JSON, or a JSON file of one.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Instead: a table with the predictor's columns.")] = None,
    predictor: Annotated[
        str | None, typer.Option("--predictor", help="A shipped name or a file; fit --csv wrote those for --csv.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict latencies, with a 90% interval.

    Example: vitas-hw predict smallest largest --predictor amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits
    """
    from vitas_hw.cli import console
    from vitas_hw.core.errors import InputError
    from vitas_hw.workflows.predict import predict_csv, predict_subnets

    if predictor is None:
        raise InputError("Say which predictor: --predictor NAME or FILE.")
    if bool(subnets) == (csv is not None):
        raise InputError("Give subnets, or --csv FILE.", "See: vitas-hw predict --help")
    if csv is not None:
        names, found = predict_csv(csv, predictor)
    else:
        names, found = predict_subnets(subnets or [], predictor)
    outside = [name for name, inside in zip(names, found.inside.tolist(), strict=True) if not inside]
    if as_json:
        console.print_json({name: column.tolist() for name, column in found._asdict().items()})
    else:
        console.table(
            "Predicted, with 90% intervals",
            ["", "predicted", "from", "to", "like what was measured"],
            [
                [name, *(f"{value:.4g}" for value in values), "yes" if inside else "no"]
                for name, *values, inside in zip(names, *found, strict=True)
            ],
        )
    if outside:
        console.ERR.print(
            f"{len(outside)} of {len(names)} lie outside what the predictor has seen; intervals do not hold there.",
            markup=False,
        )
