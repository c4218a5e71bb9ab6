"""``vitas-hw fit``"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import JsonOption
from vitas_hw.workflows.fit_settings import FitSettings

if TYPE_CHECKING:
    from vitas_hw.workflows.fit import Fitted


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
