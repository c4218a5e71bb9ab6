"""How well latencies are predicted; the shipped predictors."""

from __future__ import annotations

import json
from pathlib import Path

from .parts import Found, Part, Section, against, table

COVERAGE = (0.87, 0.94)
LEAST_THIRD = 0.83
OF_FULL_FIT = 1.5
SPEARMAN = 0.98


def predictors(found: Found) -> str:
    rows, goals = [], found["goals"]
    for name, one in found["profiles"].items():
        kinds, other = one["learned"]["quiet"], one["best_baseline"]
        own, usual = kinds["xgboost"], one["learned"]["p50"]["xgboost"]
        goal = goals["mape"].get(name)
        error = f"{own['mape']:.1%}"
        third = min(own[f"third_{part}"] for part in (1, 2, 3))
        covers = f"{own['coverage']:.0%}, {third:.0%}"
        kendall = f"{own['kendall']:.2f}"
        within = f"{own['within_10']:.1%}"
        model = "one visit: not known"
        if "model" in own:
            model = f"{own['model']:.1%} ({own['model_low']:.1%} to {own['model_high']:.1%})"
        if goal is not None:
            error = against(error, f"{goal:.1%}", own["mape"] <= goal)
            within = against(within, f"{goals['within_10']:.0%}", own["within_10"] >= goals["within_10"])
            kendall = against(kendall, f"{goals['kendall']}", own["kendall"] >= goals["kendall"])
            inside = COVERAGE[0] <= own["coverage"] <= COVERAGE[1] and third >= LEAST_THIRD
            covers = against(covers, f"{COVERAGE[0]:.0%} to {COVERAGE[1]:.0%}, {LEAST_THIRD:.0%}", inside)
        beside = against(f"{kinds[other]['mape']:.1%} (`{other}`)", *_beside(one, goals))
        rows.append(
            (
                f"`{name}`",
                model,
                error,
                beside,
                within,
                f"{usual['mape']:.1%}, {usual['within_10']:.1%}",
                kendall,
                covers,
            )
        )
    head = (
        "profile",
        "of the model itself (95%)",
        "on quiet labels: default",
        "best other kind",
        "within 10%",
        "on p50 labels: error, within 10%",
        "Kendall",
        "90% intervals cover: all, least third",
    )
    return (
        "Mean errors on subnets that a model, hyperparameters included, had not seen, over two splits. The error on"
        " labels is the model's and that of the"
        " labels, which `fit` tells apart where subnets were visited twice"
        " ([how](predictors.md#what-an-error-means)). Labels: quiet latencies, then p50s"
        f" ([what these are](profiling.md#two-latencies-of-a-subnet)).\n\n{table(head, rows)}\nThe goal of"
        f" {goals['within_10']:.0%} within 10% is one for three of the four profiles at 224 x 224."
    )


def _beside(one: Found, goals: Found) -> tuple[str, bool]:
    most, ratio = goals["over_best_baseline"], one["over_best_baseline"]
    return f"the default at most {most} times it", ratio <= most


def labels(found: Found) -> str:
    """Old and new labels learned, on both and on the least samples of visits that met a quiet machine."""
    rows = []
    for name, one in found["profiles"].items():
        old, p50, quiet = (one["learned"][label]["xgboost"] for label in ("old", "p50", "quiet"))
        cells = [
            f"{old[on]:.2%}, {new[on]:.2%}" if on in new else "no anchor"
            for on, new in (("on old", p50), ("on p50", p50), ("on quiet", quiet), ("on met quiet", quiet))
        ]
        rows.append((f"`{name}`", *cells))
    head = ("profile", "plain p50 (as before)", "p50 label", "quiet label", "visits on a quiet machine")
    return (
        "Each cell: mean error of a predictor that learned the plain p50s of before, and of one that learned today's"
        " labels, held against labels of both"
        " kinds, and against the least sample of visits that met a quiet machine, which no fit has touched. Most of"
        " the gain is in the labels: they can be"
        f" known better.\n\n{table(head, rows)}"
    )


def transfer(found: Found) -> str:
    rows = []
    for name, one in found["transfer"].items():
        three = [one[key] for key in ("transfer 20", "line through MACs 20", "full fit")]
        ways = " to ".join(f"`{way}`" for way in name.split(" -> "))
        cells = [f"{way['mape']:.1%}, {way['spearman']:.3f}" for way in three]
        near = three[0]["mape"] <= OF_FULL_FIT * three[2]["mape"] and three[0]["spearman"] >= SPEARMAN
        rows.append((ways, cells[0] + ("" if near else " (goal missed)"), *cells[1:]))
    head = (
        "an old predictor and 20 measurements on a new target: mean error, Spearman",
        "transfer",
        "line through MACs",
        "full fit",
    )
    return f"{table(head, rows)}\nGoal: at most {OF_FULL_FIT} times the full fit's error, and a Spearman of {SPEARMAN}."


def tables(found: Found) -> str:
    worst = max(row["ratio"] for row in found["tables"].values())
    shown = against(f"{worst:.3f}", f"{found['goal']:g}", worst <= found["goal"])
    return f"{len(found['tables'])} tables for `fit --csv`: at most {shown} of the error before."


def throughput(found: Found) -> str:
    least = {key: min(one[key] for one in found["predictors"].values()) for key in found["goals"]}
    subnets, codes = (
        against(f"{least[key]:,}", f"{found['goals'][key]:,}", least[key] >= found["goals"][key])
        for key in ("from_subnets", "from_codes")
    )
    return (
        f"The slowest of the shipped predictors predicts {subnets} subnets a second, or {codes} codes of its space; one"
        " core."
    )


def shipped(root: Path) -> str:
    """The table of the shipped predictors."""
    rows = []
    for path in sorted((root / "predictors/reports").glob("*.json")):
        report = json.loads(path.read_text())
        own = report["kinds"][0]
        model = "one visit each: not known"
        if own["apart"] is not None:
            low, high = own["apart"]["model_95"]
            model = f"{own['apart']['model']:.1%} ({low:.1%} to {high:.1%})"
        scores = own["scores"]
        rows.append(
            (
                f"`{path.stem}`",
                model,
                f"{scores['mape']:.1%} ({report['samples']} subnets)",
                f"{scores['within_10']:.1%}",
                f"{scores['kendall']:.3f}",
                f"{report['noise_floor']:.1%}",
            )
        )
    head = (
        "predictor of p50s",
        "error of the model itself (95%)",
        "mean error on labels of unseen subnets",
        "within 10%",
        "Kendall's tau",
        "noise floor of the p50 (mean)",
    )
    return table(head, rows)


RESULT = ("results/predictors.json",)
COMMAND = "python benchmarks/predictors.py run; python benchmarks/predictors.py report"
PREDICTING = Section(
    "Predictors",
    (
        Part("How far off are predictions of unseen subnets?", COMMAND, RESULT, predictors),
        Part("What is new, the labels or the predictor?", COMMAND, RESULT, labels),
        Part("How few measurements does a new target need?", COMMAND, RESULT, transfer),
        Part(
            "Are tables of others predicted as well as before?",
            "python benchmarks/tables.py --old FOLDER",
            ("results/tables.json",),
            tables,
        ),
        Part(
            "How fast is a prediction?",
            "python benchmarks/predictor_throughput.py",
            ("results/predictor_throughput.json",),
            throughput,
        ),
    ),
)
