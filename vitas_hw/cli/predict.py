"""``vitas-hw predict``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, SUBNETS, JsonOption, RunOption


def predict(
    subnets: Annotated[list[str] | None, typer.Argument(help=SUBNETS)] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Predict the rows of this CSV table, not subnets.")] = None,
    predictor: Annotated[
        str | None, typer.Option("--predictor", help="A file, or a shipped predictor's name. Default: the run's.")
    ] = None,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Predict latencies with 90% intervals.

    Example: vitas-hw predict smallest largest choice
    """
    from vitas_hw.cli import console
    from vitas_hw.core.errors import InputError
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.predict import predict_csv, predict_subnets

    if bool(subnets) == (csv is not None):
        raise InputError("Give subnets, or --csv FILE.", "See: vitas-hw predict --help")
    if csv is not None:
        if predictor is None:
            raise InputError("Say which predictor the table is for: `predictor`.", field="predictor")
        names, found = predict_csv(csv, predictor)
    else:
        names, found = predict_subnets(subnets or [], predictor, Run(run))
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
