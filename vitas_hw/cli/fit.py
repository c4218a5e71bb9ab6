"""``vitas-hw fit``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitas_hw.cli.options import JsonOption, SeedOption

if TYPE_CHECKING:
    from vitas_hw.workflows.fit import Fitted


def fit(
    profile: Annotated[str | None, typer.Argument(help="A profile's file, or the name of a shipped one.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Instead: a table of your own measurements.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="The table's column to predict.")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Rows with one value here are held out together.")
    ] = None,
    kind: Annotated[str, typer.Option("--kind", help="xgboost, linear, flops, lookup or mlp.")] = "xgboost",
    output: Annotated[Path, typer.Option("--output", help="The folder to write to.")] = Path("predictors"),
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit a latency predictor and report every kind on held-out examples, beside the noise floor.

    Example: vitas-hw fit profiles/mine.jsonl, or: vitas-hw fit --csv phone.csv --column latency_ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.errors import InputError
    from vitas_hw.workflows.fit import fit_csv, fit_profile

    if (profile is None) == (csv is None) or (csv is None) != (column is None) or (group and csv is None):
        raise InputError("Give a profile, or --csv FILE with --column NAME.", "See: vitas-hw fit --help")
    progress = console.Reporter()
    if csv is not None and column is not None:
        done = fit_csv(csv, column, group=group, kind=kind, output=output, seed=seed, progress=progress)
    else:
        assert profile is not None
        done = fit_profile(profile, kind=kind, output=output, seed=seed, progress=progress)
    if as_json:
        console.print_json(
            {
                "predictor": str(done.path),
                "report": str(done.report_path),
                "plot": str(done.plot_path),
                "samples": done.report.samples,
                "dropped": done.dropped,
                "noise_floor": done.report.noise_floor,
                "coverage": done.report.coverage,
                "kinds": [{"kind": one.kind, **one.scores} for one in done.report.kinds],
            }
        )
        return
    _print(done)


def _print(done: Fitted) -> None:
    from vitas_hw.cli import console
    from vitas_hw.predictors.report import noise_floor_text

    found = done.report
    shown = ("mape", "rmspe", "within_5", "within_10")
    console.table(
        f"{found.samples} examples ({done.dropped} failed or incomplete), each predicted without having been seen.\n"
        f"Noise floor (mean difference of two measurements): {noise_floor_text(found.noise_floor)}",
        ["kind", "mean error", "root mean square", "within 5%", "within 10%", "Kendall", "Spearman"],
        [
            [
                one.kind,
                *(console.percent(one.scores[name]) for name in shown),
                *(f"{one.scores[name]:.3f}" for name in ("kendall", "spearman")),
            ]
            for one in found.kinds
        ],
    )
    default = found.default
    console.table(
        f"Mean error of {default.kind} by tenth of the range, lowest first",
        [str(part + 1) for part in range(len(default.decile_mape))],
        [[console.percent(value) for value in default.decile_mape]],
    )
    console.table(
        f"Mean error of {default.kind} by number of examples",
        [str(size) for size, _ in found.learning_curve],
        [[console.percent(value) for _, value in found.learning_curve]],
    )
    console.OUT.print(
        f"90% intervals cover {found.coverage:.1%}.\nPredictor: {done.path}\nReport:    {done.report_path}\n"
        f"Plot:      {done.plot_path}",
        markup=False,
    )
