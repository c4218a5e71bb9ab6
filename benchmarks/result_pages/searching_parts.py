"""How good the search is: against an enumerated space, its budgets kept, its own time."""

from __future__ import annotations

import numpy as np

from .parts import Found, Part, Section, against, table

SHARE_OF_RANDOM = 0.25
SCREENING_S = 60
METHODS = {
    "surrogate": "**ours** (`surrogate`, the default)",
    "regularized-evolution": "`regularized-evolution`",
    "nsga2": "`nsga2`, population 16",
    "paper": "`paper`: NSGA-II, population 50",
    "random": "`random`",
    "pymoo-stock": "pymoo's stock integer operators",
}


def truth(found: Found) -> str:
    rows = []
    for method, label in METHODS.items():
        row = found["methods"][method]
        cases = sum(one["method"] == method for one in found["rows"])
        median = f"{row['needed_median']:g}".replace("inf", "-")
        rows.append(
            (
                label,
                median,
                f"{row['never']} of {cases}",
                f"{row['regret_after_96']:.2%}",
                f"{row['rank_after_96']:.0f}",
            )
        )
    ceilings, seeds = (len({one[key] for one in found["rows"]}) for key in ("quantile", "seed"))
    head = ("search", "evaluations, median", "never", "top-1 lost after 96", "rank after 96")
    return (
        f"All {found['subnets']:,} subnets of a small space were evaluated once with one supernet of the digits."
        f" Under {ceilings} ceilings on MACs and {seeds} seeds"
        " each: evaluations until one of the best 0.5% of what the ceiling admits is held, and what is lost to the"
        " optimum after 96 (the default).\n\n"
        f"{table(head, rows)}\n{truth_sentence(found)}"
    )


def needed_of_random(found: Found) -> float:
    """Evaluations that ours needs over those of random search, medians."""
    ours, random = (found["methods"][method]["needed_median"] for method in ("surrogate", "random"))
    return float(ours / random)


def truth_sentence(found: Found) -> str:
    by = {(row["quantile"], row["method"], row["seed"]): row for row in found["rows"]}
    cases = [(quantile, seed) for quantile, method, seed in by if method == "surrogate"]
    ours, paper = ([by[q, method, seed] for q, seed in cases] for method in ("surrogate", "paper"))
    worse = [a["end_regret"] - b["end_regret"] for a, b in zip(ours, paper, strict=True)]
    early = sum(a["regret"] > b["regret"] for a, b in zip(ours, paper, strict=True))
    needed = {
        q: [np.median([by[q, m, s]["needed"] or np.inf for p, s in cases if p == q]) for m in ("surrogate", "random")]
        for q, _ in cases
    }
    most = [max(row["evaluations"] for row in rows) for rows in (ours, paper)]
    shares = sorted(a / b for a, b in needed.values())
    share, ends = needed_of_random(found), sum(w > 0 for w in worse)
    return (
        f"Ours needs {against(f'{share:.2f}', f'{SHARE_OF_RANDOM}', share <= SHARE_OF_RANDOM)} of random's evaluations,"
        f" {shares[0]:.2f} to {shares[-1]:.2f} under the single ceilings. After 96 evaluations it is behind `paper` in"
        f" {early} of {len(cases)} cases; given {most[0]} against {most[1]} it ends behind in"
        f" {against(str(ends), 'never', ends == 0)}, by at most {max(worse):.2%}."
    )


def budgets(found: Found) -> str:
    used, larger = found["share_used"], found["where_larger_are_better"]
    inside, over = found["inside"], found["worst_over"]
    did = f"{larger['did']} of {larger['searches']}"
    rows = {
        "searches, each under another ceiling": f"{found['searches']}",
        "the choice, measured again, inside": against(
            f"{inside}", f"{found['inside_goal']}", inside >= found["inside_goal"]
        ),
        "worst over its ceiling": against(
            f"{over:+.1%}", f"at most {found['over_allowed']:.1%}", over <= found["over_allowed"]
        ),
        "used of the ceiling, median (quartiles)": f"{used['median']:.0%} ({used['q1']:.0%} to {used['q3']:.0%})",
        f"used more than {larger['used_more_than']:.0%}, where larger subnets were more accurate": against(
            did, "all", larger["did"] == larger["searches"]
        ),
        "ended without a choice": f"{found['ended_without_choice']}",
    }
    return (
        "Searches under ceilings across the range, ONNX Runtime on a shared virtual machine, each choice measured"
        " again by new processes beside the"
        f" anchor.\n\n{table(('', ''), rows.items())}\n"
        "The goal for the worst is the 90th percentile of that profile's noise floor. Where a search used less than"
        " it might have, it had to take another"
        " subnet after the first finalists measured outside."
    )


def overhead(found: Found) -> str:
    share, goal, screened = found["surrogate"]["share"], found["goal_share"], found["screening"]
    seconds = screened["seconds"]
    return (
        f"The default search itself takes {against(f'{share:.1%}', f'{goal:.0%}', share <= goal)}"
        f" of a run of {found['evaluations']:,} evaluations; {screened['candidates']:,} candidates are drawn and"
        " priced by"
        f" a predictor in {against(f'{seconds:.0f} s', f'{SCREENING_S} s', seconds <= SCREENING_S)}, on one core."
    )


SEARCHING = Section(
    "Search",
    (
        Part(
            "How near does the search come to the truth, and how soon?",
            "python benchmarks/search.py truth",
            ("results/search_truth.json",),
            truth,
        ),
        Part(
            "Is the budget kept?",
            "python benchmarks/search_budget.py",
            ("results/search_budget.json",),
            budgets,
        ),
        Part(
            "What does the search itself cost?",
            "python benchmarks/search.py overhead",
            ("results/search_overhead.json",),
            overhead,
        ),
    ),
)
