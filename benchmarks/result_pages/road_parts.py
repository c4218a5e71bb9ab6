"""The whole road: the quickstart, a newcomer's five commands, the digits' default search."""

from __future__ import annotations

from .parts import Found, Part, Section, against, table

QUICKSTART_GOALS = {"seconds": 480, "gib": 4, "top1": 0.95, "search_s": 90, "share": 1 / 6}
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


QUICKSTART = ("results/quickstart.json", "results/quickstart_slower.json")
ROAD = Section(
    "The quickstart",
    (
        Part("What does the quickstart take and reach?", "python benchmarks/quickstart.py", QUICKSTART[:1], quickstart),
        Part(
            "What does the quickstart take and reach on a slower machine?",
            "python benchmarks/quickstart.py",
            QUICKSTART[1:],
            quickstart,
        ),
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
            "Does the default road on the digits search something worth searching?",
            "python benchmarks/digits.py",
            ("results/digits.json",),
            digits,
        ),
    ),
)
