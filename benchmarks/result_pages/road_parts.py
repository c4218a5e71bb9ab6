"""The whole road: the quickstart, a newcomer's five commands, the digits' default search."""

from __future__ import annotations

from .parts import Found, Part, Section, against, table

QUICKSTART_GOALS = {"seconds": 480, "gib": 4, "top1": 0.95, "search_s": 90, "share": 1 / 6}
WALK_GOAL_S = 900
NEWCOMER_GOAL_S = 600


def quickstart(found: Found) -> str:
    goals = QUICKSTART_GOALS
    rows = [
        (
            "top-1 on test, of the ONNX file",
            against(f"{found['test_top1']:.2%}", f"{goals['top1']:.0%}", found["test_top1"] >= goals["top1"]),
        ),
        ("budget", f"{found['budget_ms']:g} ms"),
        (
            "share of random subnets that is predicted to meet it",
            against(
                f"{found['share_of_random_subnets_inside']:.1%}",
                "at most a sixth",
                found["share_of_random_subnets_inside"] <= goals["share"],
            ),
        ),
        ("predicted p50", f"{found['predicted_ms']:.3g} ms"),
        ("measured p50", f"{found['measured_ms']:.3g} ms"),
        (
            "the whole quickstart",
            against(
                f"{found['quickstart_s']:.0f} s", f"{goals['seconds']} s", found["quickstart_s"] <= goals["seconds"]
            ),
        ),
        (
            "its peak memory",
            against(
                f"{found['quickstart_peak_gib']:.1f} GiB",
                f"{goals['gib']} GiB",
                found["quickstart_peak_gib"] <= goals["gib"],
            ),
        ),
    ]
    rows += [
        (
            f"one `vitas-hw {words}` after it",
            against(f"{seconds:.0f} s", f"{goals['search_s']} s", seconds <= goals["search_s"]),
        )
        for words, seconds in found["search_s"].items()
    ]
    rows += [
        ("a search under an impossible budget, refused after", f"{found['infeasible_search_s']:.1f} s"),
        ("the predictor's error on subnets that it has not seen", f"{found['predictor']['mape']:.1%}"),
        ("two measurements of a subnet differ by, on average", f"{found['predictor']['noise_floor']:.1%}"),
    ]
    return table(("quickstart on two cores", ""), rows)


def newcomer(found: Found) -> str:
    seconds = against(f"{found['seconds']:.0f} s", f"{NEWCOMER_GOAL_S} s", found["seconds"] <= NEWCOMER_GOAL_S)
    each = ", ".join(f"{command} {value:.0f} s" for command, value in found["seconds_of_each"].items())
    return (
        f"The five commands of [your data](your-data.md#five-commands) on drawn images: {seconds}; {each}."
        " Of new images that nothing has seen the exported model names"
        f" {found['top1_of_100_unseen_by_onnxruntime']:.0%} rightly. Its"
        f" budget was {found['budget_ms']:g} ms."
    )


def user_walk(found: Found) -> str:
    seconds = against(f"{found['seconds']:.0f} s", f"{WALK_GOAL_S} s", found["seconds"] <= WALK_GOAL_S)
    each = ", ".join(f"{command} {value:.0f} s" for command, value in found["seconds_of_each"].items())
    top1 = against(f"{found['top1']:.1%}", f"the linear model's {found['linear_top1']:.1%}", _at_least_linear(found))
    return (
        f"The five commands of [your data](your-data.md#five-commands), all defaults, on {found['images']:,} images of"
        f" Fashion-MNIST: {seconds}; {each}. Of the {found['validation_images']} validation images, which neither"
        f" training nor search has seen, the exported model names {top1} rightly. It measured"
        f" {found['measured_ms']:.3g} of {found['budget_ms']:g} ms."
    )


def _at_least_linear(found: Found) -> bool:
    return bool(found["top1"] >= found["linear_top1"])


def quickstart_pairs(found: Found) -> str:
    goals, top1, peak = found["goals"], found["test_top1"], found["peak_gib"]
    lost, pairs, ratio, inside = found["top1_lost"], found["pairs"], found["ratio"], found["inside"]
    accuracy = f"{top1['old']:.2%}, {top1['new']:.2%}"
    least = f"at most {100 * goals['top1_lost']:g} points lost"
    memory = f"{peak['old']:.1f}, {peak['new']:.1f} GiB"
    rows = [
        ("pairs, one seed each", pairs),
        ("time over the older one's, median", against(f"{ratio:.2f}", f"{goals['ratio']:g}", ratio <= goals["ratio"])),
        ("top-1 on test, mean: older, this", against(accuracy, least, lost <= goals["top1_lost"])),
        ("choices inside when a new process measures them", against(f"{inside}", f"{pairs}", inside == pairs)),
        ("peak memory: older, this", against(memory, f"{goals['gib']:g} GiB", peak["new"] <= goals["gib"])),
    ]
    return table(("the quickstart of an older commit and of this one, in turn", ""), rows)


def startup(found: Found) -> str:
    goal = found["goal_s"]

    def cell(call: Found) -> str:
        seconds = call["wall_s"]["median"]
        return against(f"{seconds:.2f} s", f"{goal:.2f} s", seconds < goal) if "met" in call else f"{seconds:.2f} s"

    return table(
        ("a new process", "until it ends, median"), [(f"`{name}`", cell(one)) for name, one in found["calls"].items()]
    )


def digits(found: Found) -> str:
    goals, rows = found["goals"], []
    for row in found["rows"]:
        rises = [one["rise_in_errors"] for one in row["by_depth"][1:]]
        searches = [row["search"], *row["ceilings"]]
        slowest = max(one["search_s"] for one in searches)
        rows.append(
            (
                row["seed"],
                against(f"{max(rises):+.1f}", "1.0", max(rises) <= 1),
                against(f"{row['search']['ties']:.0%}", f"{goals['ties']:.0%}", row["search"]["ties"] <= goals["ties"]),
                f"{row['choice_test_top1']:.2%}, {row['random_mean_test_top1']:.2%}",
                f"{len(row['worse_with_more'])} of {len(searches) - 1}",
                against(f"{slowest:.0f} s", f"{goals['search_s']:.0f} s", slowest <= goals["search_s"]),
            )
        )
    head = (
        "seed",
        "depth's largest rise of the loss, standard errors",
        "candidates that the images cannot tell from the best",
        "test top-1: the choice, five random subnets of its cost",
        "larger ceilings with a worse choice",
        "slowest search",
    )
    return table(head, rows)


def front(found: Found) -> str:
    budget = found["budget_ms"]
    rows = []
    for what, drawn in (("evaluated", found["evaluated"]), ("of DeiT's proportions", found["deit"])):
        timed = [row for row in drawn if row["measured_ms"] is not None]
        inside = [row for row in timed if row["measured_ms"] <= budget]
        best = max(inside, key=lambda row: row["top1"], default=None)
        shown = "none" if best is None else f"{best['top1']:.1%} at {best['measured_ms']:.3g} ms"
        rows.append((what, len(drawn), len(drawn) - len(timed), len(inside), shown))
    (choice,) = (row for row in found["evaluated"] if row["subnet"] == found["choice"])
    head = ("subnets", "in all", "that failed", f"that measure inside {budget:g} ms", "the most accurate of these")
    took = "failed here" if choice["measured_ms"] is None else f"took {choice['measured_ms']:.3g} ms here"
    return (
        f"{table(head, rows)}\nTop-1 is that of inherited weights on {found['images']} held-out images. The choice, at"
        f" {choice['top1']:.1%}, {took}. [The picture](../README.md)."
    )


QUICKSTART = ("results/quickstart.json",)
ROAD = Section(
    "The quickstart",
    (
        Part("What does the quickstart take and reach?", "python benchmarks/quickstart.py", QUICKSTART, quickstart),
        Part(
            "What does a quickstart's run look at, and what would DeiT's proportions reach?",
            "python benchmarks/front.py --run KEEP/runs/default",
            ("results/front.json",),
            front,
        ),
        Part(
            "How long do a newcomer's five commands take?",
            "PYTHONPATH=tests python benchmarks/newcomer.py",
            ("results/newcomer.json",),
            newcomer,
        ),
        Part(
            "How much faster is the quickstart than at first?",
            "python benchmarks/quickstart_pairs.py",
            ("results/quickstart_pairs.json",),
            quickstart_pairs,
        ),
        Part(
            "How long do light commands take?",
            "python benchmarks/startup.py",
            ("results/startup.json",),
            startup,
        ),
        Part(
            "How far do the five commands get with real images?",
            "PYTHONPATH=tests python benchmarks/user_walk.py",
            ("results/user_walk.json",),
            user_walk,
        ),
        Part(
            "Does the default road on the digits search something worth searching?",
            "python benchmarks/digits.py",
            ("results/digits.json",),
            digits,
        ),
    ),
)
