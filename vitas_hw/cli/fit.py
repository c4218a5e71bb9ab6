"""``vitas-hw fit``"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import JsonOption
from vitas_hw.workflows.fit_settings import FitSettings


@takes(FitSettings)
def fit(
    settings: Callable[..., FitSettings],
    profile: Annotated[str | None, typer.Argument(help="A profile's file, or the name of a shipped one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a latency predictor and report every kind on held-out examples, beside the noise floor.

    Example: vitas-hw fit profiles/mine.jsonl, or: vitas-hw fit --csv phone.csv --column latency_ms
    """
    from vitas_hw.cli import console

    asked = settings(profile=profile)
    from vitas_hw.predictors.report import noise_floor_text
    from vitas_hw.workflows.fit import fit_and_report

    done = fit_and_report(asked, console.Reporter())
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
    found = done.report
    console.table(
        f"{found.samples} examples ({done.dropped} failed or incomplete), each predicted without having been seen.\n"
        f"Noise floor (mean difference of two measurements): {noise_floor_text(found.noise_floor)}",
        ["kind", "mean error", "root mean square", "within 5%", "within 10%", "Kendall", "Spearman"],
        [
            [
                one.kind,
                *(console.percent(one.scores[name]) for name in ("mape", "rmspe", "within_5", "within_10")),
                *(f"{one.scores[name]:.3f}" for name in ("kendall", "spearman")),
            ]
            for one in found.kinds
        ],
    )
    default = found.kinds[0]
    tenths = tuple(enumerate(default.decile_mape, 1))
    for what, errors in (("tenth of the range, lowest first", tenths), ("number of examples", found.learning_curve)):
        console.table(
            f"Mean error of {default.kind} by {what}",
            [str(part) for part, _ in errors],
            [[console.percent(error) for _, error in errors]],
        )
    console.OUT.print(
        f"90% intervals cover {found.coverage:.1%}.\nPredictor: {done.path}\nReport:    {done.report_path}\n"
        f"Plot:      {done.plot_path}",
        markup=False,
    )
