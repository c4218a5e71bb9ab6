"""What the README shows of the results: the quickstart's three rows, six more, the picture where there is one."""

from __future__ import annotations

from pathlib import Path

from .deploy_parts import installed_rows
from .method_parts import TAU
from .parts import Found, against, read, table
from .searching_parts import SHARE_OF_RANDOM, needed_of_random

PICTURES = "docs/pictures"


def _found(benchmarks: Path, name: str) -> Found:
    one: Found = read(benchmarks / "results" / name)
    return one


def quickstart_rows(benchmarks: Path) -> str:
    """Three rows."""
    run = _found(benchmarks, "quickstart.json")
    rows = [
        ("top-1 on unseen images, of the ONNX file", f"{run['test_top1']:.1%}"),
        (
            "latency: budget, predicted, measured",
            f"{run['budget_ms']:g}, {run['predicted_ms']:.3g}, {run['measured_ms']:.3g} ms",
        ),
        ("the whole quickstart", f"{run['quickstart_s']:.0f} s"),
    ]
    return table((f"on two cores, {plain(run['environment']['hardware']['cpu'])}", ""), rows)


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
    linked = [(f"[{what}](docs/benchmarks.md#{where})", number) for what, number, where in rows]
    return table(("measured", ""), linked)


def front_picture(root: Path) -> str:
    """The picture of a quickstart's front and what it shows, once it is drawn."""
    light, dark = (f"{PICTURES}/front-{scheme}.svg" for scheme in ("light", "dark"))
    if not (root / light).exists():
        return ""
    found = _found(root / "benchmarks", "front.json")
    rows = {row["subnet"]: row for row in found["evaluated"]}
    choice, cpu = rows[found["choice"]], found["environment"]["hardware"]["cpu"]
    alt = (
        "Measured latency against top-1 of every subnet that a quickstart evaluated, with the front, the budget,"
        " subnets of DeiT's proportions, and the choice as it is inherited and as it is fine-tuned."
    )
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" width="720" alt="{alt}"></picture>\n\n'
        f"*{len(rows)} subnets of one supernet of the digits, each timed on {plain(cpu)} and scored with inherited"
        " weights"
        f" on {found['images']} held-out images (each {100 / found['images']:.2f} points; the search ranks by loss)."
        f" The choice takes {choice['measured_ms']:.3g} of"
        f" {found['budget_ms']:g} ms; a short fine-tuning raised it from"
        f" {choice['top1']:.1%} to {found['choice_top1']:.1%} of the same images."
        " [How it was made](benchmarks/front.py).*\n"
    )


def installed(benchmarks: Path) -> str:
    """How much room an installation takes."""
    size = _found(benchmarks, "installed_size.json")
    whole, cuda, *_ = (f"{one / 1e9:.1f} GB" for one in size["bytes"].values())
    return (
        f"From the repository, until it is released. With all that it needs it takes up {whole} ({size['platform']}),"
        f" {cuda} of"
        " them libraries of torch's builds for CUDA: [how to do without](docs/faq.md#the-installation-is-large).\n"
    )


def installed_parts(benchmarks: Path) -> str:
    """The parts of that room, for the FAQ."""
    return table(("part", "size"), installed_rows(_found(benchmarks, "installed_size.json")))


def plain(cpu: str) -> str:
    """A processor's name as people say it."""
    return cpu.replace("(R)", "").replace(" Processor", "")
