"""What is delivered: beside timm's own model, retrained, exported; the two studies; kills and broken files."""

from __future__ import annotations

from statistics import fmean

from .parts import Found, Part, Section, against, table

INT8_DROP = 0.01
LATE = ("search", "shrink")


def beside_timm(found: Found) -> str:
    goal = found["goal"]
    by_runtime = {name: one["ratio"] for name, one in found["runtimes"].items()}
    ratios = ", ".join(
        f"{against(f'{ratio:.3f}', f'{goal}', ratio <= goal)} ({name})" for name, ratio in by_runtime.items()
    )
    return f"No overhead remains: p50 over that of timm's own `{found['model']}`: {ratios}."


def retrained(found: Found) -> str:
    rows = found["retraining"]
    before, after = (fmean(row[key] for row in rows) for key in ("test_inherited", "test_retrained"))
    worse = sum(row["test_retrained"] < row["test_inherited"] for row in rows)
    taught = [
        (
            f"with the {teacher} as teacher" if teacher else "without a teacher",
            [row for row in rows if row["teacher"] == teacher],
        )
        for teacher in dict.fromkeys(row["teacher"] for row in rows)
    ]
    means = [f"{fmean(row['test_retrained'] for row in mine):.1%} {words} ({len(mine)})" for words, mine in taught]
    return (
        f"On the digits {len(rows)} retrainings took {before:.1%} of the test images to {after:.1%} on average,"
        f" {against(str(worse or 'none'), 'none', worse == 0)} to less; {' and '.join(means)}."
    )


def exports(found: Found) -> str:
    rows = []
    for row in found["exports"]:
        times = row["latency_ms"].get(row["precision"]), row["latency_ms"].get("fp32")
        speed = f"{times[1] / times[0]:.1f}" if row["precision"] != "fp32" and all(times) else ""
        drop = against(f"{100 * row['drop']:.1f}", f"{100 * INT8_DROP:.0f}", row["drop"] <= INT8_DROP)
        rows.append((row["format"], row["precision"], drop, f"{row['agreement']:.1%}", speed))
    head = ("format", "precision", "points of top-1 lost to torch", "same class as torch", "times as fast as fp32")
    return table(head, rows)


def pays(test: Found, found: Found) -> str:
    rows = []
    for ceiling, arms in found["arms"].items():
        mine = [one["mean"] for name, one in found["ours"].items() if name.startswith(f"{ceiling},")]
        rows.append((ceiling, "ours", len(mine), f"{fmean(mine):.2%}" if mine else ""))
        rows += [
            (ceiling, arm, one["nets"], "" if one["mean"] is None else f"{one['mean']:.2%}")
            for arm, one in arms.items()
        ]
    decided = found["decision"]
    return (
        f"Trained alike at equal MACs on Fashion-MNIST, scored on the {found['part']}, {test['images']:,} images"
        f" ([protocol](../benchmarks/pays/PROTOCOL.md)).\n\n{table(('MACs', 'arm', 'nets', 'mean top-1'), rows)}\n"
        f"Decision, as the protocol takes it: claim {decided['claim']}, goal {decided['goal']}; {decided['why']}."
    )


def shrink(test: Found, found: Found) -> str | None:
    if found["part"] != "test part":
        return None
    rows = []
    for level, arms in found["levels"].items():
        for arm, one in arms.items():
            if "refused" in one:
                rows.append((level, arm, "refused", "", ""))
            elif one["trainings"]:
                share = f"{one['share']:.2f}" if "share" in one else ""
                rows.append((level, arm, one["trainings"], f"{one['top1']:.2%}", share))
    goals = []
    for level, one in found["goals"].items():
        if one is None:
            continue
        over = f"{100 * one['over it']:+.2f} points over {one['best peer']}"
        scratch = f"{100 * one['over scratch']:+.2f} over the net by hand"
        goals.append(
            f"One {level}: {against(over, format(100 * one['wanted'], '.1f'), one['reached'])},"
            f" {against(scratch, 'not below', one['not below scratch'])}."
        )
    head = ("of the original's p50", "arm", "trainings", "mean top-1", "p50 over the original's")
    return f"On the {len(test['top1'])} sealed predictions of the test part.\n\n{table(head, rows)}\n{' '.join(goals)}"


def shrink_road(found: Found) -> str:
    seconds, goal = found["seconds"], found["goal_seconds"]
    steps = ", ".join(f"{step['step']} {step['seconds']:.0f} s" for step in found["steps"])
    return f"`vitas-hw shrink` at one half: {against(f'{seconds:.0f} s', f'{goal} s', seconds <= goal)}; {steps}."


def kills(found: Found) -> str:
    rows = [
        (f"`{name}`", one["kills"], one["writing"], against(str(len(one["wrong"])), "0", not one["wrong"]))
        for name, one in found["commands"].items()
    ]
    head = (
        "killed by signal 9",
        "times",
        "of them in the middle of writes",
        "that ended otherwise than a run left alone",
    )
    return table(head, rows)


def killed_too(found: Found) -> str | None:
    """Of the long commands, which were killed last."""
    late = [found["commands"].get(name) for name in LATE]
    if not all(late):
        return None
    wrong = sum(len(one["wrong"]) for one in late)
    return (
        f"{' and '.join(LATE)}: {sum(one['kills'] for one in late)} kills, {against(str(wrong), '0', not wrong)} wrong."
    )


def gpu(found: list[Found]) -> str:
    rows = []
    for one in found:
        card = one["calls"][0].get("gpu", "no GPU").split(",")[0]
        rows += [(card, name, step["state"], f"{step['seconds']:.0f} s") for name, step in one["steps"].items()]
    return table(("card", "step", "state", "took"), rows)


def fuzz(found: Found) -> str:
    outcomes = found["outcomes"]
    return (
        f"{found['inputs']:,} spoilt files of {len(found['readers'])} kinds: {outcomes['refused']:,} refused with a"
        f" sentence, {outcomes['read']:,} still"
        f" readable, {against(str(found['bad']), '0', found['bad'] == 0)} that ended in anything else."
    )


def installed_rows(found: Found) -> list[tuple[str, str]]:
    return [(name, f"{size / 1e9:.1f} GB") for name, size in found["bytes"].items()]


def installed(found: Found) -> str:
    return (
        f"What `pip install .` puts on an {found['platform']} machine, {found['distributions']} packages with all"
        " they depend on:\n\n"
        f"{table(('part', 'size on disk'), installed_rows(found))}"
    )


STUDY = "python benchmarks/pays/run_study.py"
SHRINK = "python benchmarks/shrink/run_shrink.py"
DELIVERED = Section(
    "What is delivered",
    (
        Part(
            "Does a delivered model run as fast as timm's own?",
            "python benchmarks/against_timm.py",
            ("results/against_timm.json",),
            beside_timm,
        ),
        Part("What does retraining give?", "python benchmarks/deploy.py", ("results/deploy.json",), retrained),
        Part(
            "What do formats and precisions cost and give?",
            "python benchmarks/deploy.py",
            ("results/deploy.json",),
            exports,
        ),
        Part(
            "Is a searched net better than one drawn by hand, trained alike at equal cost?",
            f"{STUDY} train; {STUDY} finish; {STUDY} report",
            ("pays/test.json", "pays/report.json"),
            pays,
        ),
        Part(
            "Who keeps most of a trained ViT at a half and a third of its latency:"
            " `shrink`, Torch-Pruning, FastNAS, a net by hand?",
            f"{SHRINK} train; {SHRINK} finish; {SHRINK} report",
            ("shrink/test.json", "shrink/report.json"),
            shrink,
        ),
        Part(
            "How long does `vitas-hw shrink` take?",
            f"{SHRINK} road",
            ("shrink/road.json",),
            shrink_road,
        ),
    ),
)
MACHINES = Section(
    "Machines",
    (
        Part(
            "Does it run on an NVIDIA GPU?",
            "PYTHONPATH=. python benchmarks/gpu/all.py --seconds 1700 --out OUT;"
            " PYTHONPATH=. python benchmarks/gpu/carry.py read OUT",
            ("results/gpu-*.json",),
            gpu,
        ),
        Part(
            "How large is an installation?",
            "python benchmarks/installed_size.py",
            ("results/installed_size.json",),
            installed,
        ),
    ),
)
ROBUST = Section(
    "When things go wrong",
    (
        Part(
            "What comes of a command killed by signal 9?",
            "PYTHONPATH=.:tests python benchmarks/kills.py",
            ("results/kills.json",),
            kills,
        ),
        Part(
            f"What comes of {' and '.join(LATE)} killed by signal 9?",
            "PYTHONPATH=.:tests python benchmarks/kills.py",
            ("results/kills.json",),
            killed_too,
        ),
        Part("What comes of broken files?", "make fuzz", ("results/fuzz.json",), fuzz),
    ),
)
