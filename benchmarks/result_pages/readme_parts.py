"""What the README shows of the results: the quickstart's three rows, six more, the picture where there is one."""

from __future__ import annotations

from pathlib import Path

from .method_parts import TAU
from .parts import Found, against, read, table
from .searching_parts import SHARE_OF_RANDOM, needed_of_random

PICTURES = "docs/pictures"


def _found(benchmarks: Path, name: str) -> Found:
    one: Found = read(benchmarks / "results" / name)
    return one


def quickstart_rows(benchmarks: Path) -> str:
    """Three rows from two machines."""
    runs = [_found(benchmarks, name) for name in ("quickstart.json", "quickstart_slower.json")]
    names = [run["environment"]["hardware"]["cpu"].replace("(R)", "").replace(" Processor", "") for run in runs]
    rows = [
        ("top-1 on unseen images, of the ONNX file", *(f"{run['test_top1']:.1%}" for run in runs)),
        (
            "latency: budget, predicted, measured",
            *(f"{run['budget_ms']:g}, {run['predicted_ms']:.3g}, {run['measured_ms']:.3g} ms" for run in runs),
        ),
        ("the whole quickstart", *(f"{run['quickstart_s']:.0f} s" for run in runs)),
    ]
    return table(("on two cores", *names), rows)


def results(benchmarks: Path) -> str:
    """Six rows: the question, the number beside its goal, where it stands."""
    budget = _found(benchmarks, "search_budget.json")
    truth = _found(benchmarks, "search_truth.json")
    predicted = _found(benchmarks, "predictors.json")
    timm = _found(benchmarks, "against_timm.json")
    repeated = _found(benchmarks, "repeatability_onnxruntime.json")
    ranked = _found(benchmarks, "rank_study.json")
    goals = predicted["goals"]["mape"]
    errors = [predicted["profiles"][name]["learned"]["quiet"]["xgboost"]["mape"] for name in goals]
    reached = all(error <= goals[name] for error, name in zip(errors, goals, strict=True))
    ratios = [one["ratio"] for one in timm["runtimes"].values()]
    share = needed_of_random(truth)
    median = repeated["rows"]["ours"]["median"]
    tau = ranked["orders"]["ordinal"]["tau"]["value"]
    ceiling = ranked["orders"]["one seed alone against the other"]["tau"]["value"]
    rows = [
        (
            "searches whose choice, measured again, is inside its budget",
            against(
                f"{budget['inside']} of {budget['searches']}",
                f"{budget['inside_goal']}",
                budget["inside"] >= budget["inside_goal"],
            ),
            "search",
        ),
        (
            "evaluations to a subnet among the best 0.5%, over random search's",
            against(f"{share:.2f}", f"{SHARE_OF_RANDOM}", share <= SHARE_OF_RANDOM),
            "search",
        ),
        (
            "error of a predicted latency, unseen subnets of four profiles",
            against(
                f"{min(errors):.1%} to {max(errors):.1%}",
                f"{min(goals.values()):.1%} to {max(goals.values()):.1%}",
                reached,
            ),
            "predictors",
        ),
        (
            f"p50 of a delivered model over timm's own `{timm['model']}`",
            against(f"{min(ratios):.3f} to {max(ratios):.3f}", f"{timm['goal']}", max(ratios) <= timm["goal"]),
            "what-is-delivered",
        ),
        (
            "two profilings of one shared machine differ by, median",
            against(f"{median:.1%}", f"{repeated['goal']['median']:.0%}", median <= repeated["goal"]["median"]),
            "measuring-latencies",
        ),
        (
            "the supernet's order of subnets, Kendall's tau to training them alone",
            against(f"{tau:.2f}", f"{TAU}", tau >= TAU) + f"; one seed to another {ceiling:.2f}",
            "the-method",
        ),
    ]
    return table(("measured", "", ""), [(what, n, f"[more](docs/benchmarks.md#{where})") for what, n, where in rows])


def front_picture(root: Path) -> str:
    """The picture of a quickstart's front, once it is drawn."""
    light, dark = (f"{PICTURES}/front-{scheme}.svg" for scheme in ("light", "dark"))
    if not (root / light).exists():
        return ""
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img src="{light}" width="760" alt="Measured latency against top-1 of every subnet that a quickstart'
        " evaluated: the front, the budget, the choice, and"
        " subnets of DeiT's proportions\">\n</picture>\n"
    )
