"""``vitas-hw fit``"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import JsonOption
from vitas_hw.workflows.fit_settings import FitSettings

if TYPE_CHECKING:
    from vitas_hw.predictors.report import KindReport

_MEANS = "Mean errors: the model's own, with its 95% interval, what the labels' noise adds, and both together."
_UNKNOWN = (
    "The noise of the labels cannot be estimated: fewer than 20 examples were visited twice. The mean error together is"
    " the model's and theirs."
)


@takes(FitSettings)
def fit(
    settings: Callable[..., FitSettings],
    profile: Annotated[str | None, typer.Argument(help="A profile file, or the name of a shipped profile.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a latency predictor to a profile or a CSV table; report the cross-validated error of each kind.

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
                "statistic": getattr(done.predictor, "statistic", None),
                "kinds": [{"kind": one.kind, **_apart(one), **one.scores} for one in done.report.kinds],
            }
        )
        return
    found = done.report
    console.table(
        f"{found.samples} examples ({done.dropped} failed or incomplete), each predicted without having been seen.\n"
        f"Noise floor (mean difference of two measurements): {noise_floor_text(found.noise_floor)}",
        ["kind", "model's error (95%)", "labels' noise", "together", "within 10%", "Kendall"],
        [
            [
                one.kind,
                *_words(one),
                *(console.percent(one.scores[name]) for name in ("mape", "within_10")),
                f"{one.scores['kendall']:.3f}",
            ]
            for one in found.kinds
        ],
    )
    default = found.kinds[0]
    console.OUT.print(_MEANS if default.apart is not None else _UNKNOWN, markup=False)
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


def _apart(kind: KindReport) -> dict[str, Any]:
    """The parts of the mean error; None where they are not known."""
    own = kind.apart
    if own is None:
        return {"model_error": None, "model_error_95": None, "label_noise": None}
    return {"model_error": own.model, "model_error_95": own.model_95, "label_noise": own.labels}


def _words(kind: KindReport) -> list[str]:
    own = kind.apart
    if own is None:
        return ["-", "-"]
    low, high = own.model_95
    return [f"{own.model:.1%} ({low:.1%} to {high:.1%})", f"{own.labels:.1%}"]
