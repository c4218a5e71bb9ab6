"""What the README shows is true: its Python runs, its YAML is a space, its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found


def test_its_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    for block in (one for one in blocks("python") if "runs/photos" not in one):  # takes an hour: examples/photos.py
        exec(compile(block, "README", "exec"), {})  # noqa: S102  # our own text
    printed = capsys.readouterr().out.splitlines()
    promised = re.search(r"print\(subnet\.macs, subnet\.params\)\s+# (.*)", README)
    assert promised is not None
    assert printed[0] == promised[1]


def test_its_yaml_is_a_space(tmp_path: Path) -> None:
    for block in blocks("yaml"):
        path = tmp_path / "mine.yaml"
        path.write_text(block)
        space = vh.load_space(path)
        assert space.name == "mine"
        assert space.contains(space.sample(0))


def test_its_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {line.split()[2] for block in blocks("console") for line in block.splitlines() if "$ vitas-hw" in line}
    assert commands == {
        "train",
        "profile",
        "search",
        "evaluate",
        "export",
        "doctor",
        "report",
        "runs",
        "spaces",
        "retrain",
        "classify",
        "compare",
        "shrink",
    }
    for command in commands:
        assert main([command, "--help"]) == 0
    capsys.readouterr()


def test_the_quickstarts_numbers_are_those_of_the_benchmark() -> None:
    runs = [
        json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
        for name in ("quickstart", "quickstart_slower")
    ]
    for numbers in (
        [f"{run['test_top1']:.2%}" for run in runs],
        [f"{run['budget_ms']:g} ms" for run in runs],
        [f"{run['predicted_ms']:.3g} ms" for run in runs],
        [f"{run['measured_ms']:.3g} ms" for run in runs],
        [f"{run['quickstart_s']:.0f} s, {run['quickstart_peak_gib']:.1f} GiB" for run in runs],
        *([f"{run['search_s'][search]:.0f} s" for run in runs] for search in runs[0]["search_s"]),
    ):
        assert f"| {' | '.join(numbers)} |" in README


ORDERS = {
    "ordinal": "ordinal",
    "bilateral": "bilateral",
    "cyclic": "cyclic",
    "nothing private": "cyclic, nothing private",
    "no identity shifting": "cyclic, no identity shifting",
    "sandwich": "cyclic, sandwich rule",
    "MACs": "MACs",
    "parameters": "parameters",
    "fit to the others": "a line on patch size, MACs, width, fitted to the others",
    "one seed alone against the other": "**one seed alone against the other (the ceiling)**",
}


def order_rows() -> list[str]:
    result = json.loads((ROOT / "benchmarks/results/rank_study.json").read_text())
    rows = []
    for name, label in ORDERS.items():
        found = result["orders"].get(name)
        if found is None:
            continue
        there, of = result["there_of"].get(name, [0, 0])
        low, high = found["tau"]["interval_95"]
        gap = result["orders"].get(f"{name}, on test", {}).get("inherited_minus_alone")
        cells = [
            label + (f" ({there} of {of} seeds)" if there < of else ""),
            f"{found['tau']['value']:.2f} ({low:.2f} to {high:.2f})",
            f"{found['tau_within_patch']['value']:.2f}",
            f"{found['lost_top1']['value']:.1%}",
            f"{gap['mean']:+.1%}" if gap else "",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def cost_rows() -> list[str]:
    ratios = json.loads((ROOT / "benchmarks/results/sharing_cost.json").read_text())["ratios"]
    rows = []
    for quantity, label in (
        ("step", "a training step"),
        ("evaluation", "an evaluation"),
        ("memory", "activation memory of a step"),
    ):
        cells = []
        for scheme in ("ordinal", "cyclic", "bilateral"):
            ways = ratios[quantity][scheme]
            goal = f" (goal {ways['goal']})" if ways["goal"] else ""
            cells.append(f"{next(ways[way] for way in ways if way != 'goal')['median']:.3f}{goal}")
        rows.append(f"| {label}, times that of the model alone | {' | '.join(cells)} |")
    return rows


def repeatability_rows() -> list[str]:
    result = json.loads((ROOT / "benchmarks/results/repeatability_onnxruntime.json").read_text())
    labels = {
        "ours": "ours: interleaved rounds, new processes, drift corrected by the anchor",
        "all rounds, no anchor": "the same visits without the anchor",
        "one round, no anchor": "one round of them, without the anchor",
        "all rounds, minimum, no anchor": "their minimum, without the anchor (no p50)",
        "naive: 15 in a row, median": "naive: 15 inferences in a row, their median",
    }
    goal = result["goal"]
    rows = []
    for name, label in labels.items():
        found = result["rows"][name]
        goals = (f" (goal {goal['median']:.0%})", f" (goal {goal['p90']:.0%})") if name == "ours" else ("", "")
        rows.append(f"| {label} | {found['median']:.1%}{goals[0]} | {found['p90']:.1%}{goals[1]} |")
    return rows


def speed_rows() -> list[str]:
    result = json.loads((ROOT / "benchmarks/results/export_speed.json").read_text())
    rows = []
    for name, label in {
        "ours": "ours: the graph written from the subnet",
        "torch, legacy": "`torch.onnx.export(dynamo=False)`",
        "torch, default": "`torch.onnx.export`",
    }.items():
        times = "" if name == "ours" else f"{result['times_ours'][name]['median']:.1f} (goal {result['goal'][name]})"
        rows.append(
            f"| {label} | {result['seconds'][name]['median']:.2f} s | {times} | {result['rows_a_minute'][name]:.0f} |"
        )
    return rows


def search_rows() -> list[str]:
    found = json.loads((ROOT / "benchmarks/results/search_truth.json").read_text())
    labels = {
        "surrogate": "**ours** (`surrogate`, the default)",
        "regularized-evolution": "`regularized-evolution`",
        "nsga2": "`nsga2`, population 16",
        "paper": "`paper`: NSGA-II, population 50",
        "random": "`random`",
        "pymoo-stock": "pymoo's stock integer operators",
    }
    rows = []
    for method, label in labels.items():
        row = found["methods"][method]
        median = f"{row['needed_median']:g}".replace("inf", "-")
        rows.append(
            f"| {label} | {median} | {row['never']} of {sum(r['method'] == method for r in found['rows'])}"
            f" | {row['regret_after_96']:.2%} | {row['rank_after_96']:.0f} |"
        )
    return rows


def search_sentence() -> str:
    found = json.loads((ROOT / "benchmarks/results/search_truth.json").read_text())
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
    medians = [found["methods"][method]["needed_median"] for method in ("surrogate", "random")]
    return (
        f"Ours needs {medians[0] / medians[1]:.2f} of random's evaluations (goal 0.25), {shares[0]:.2f} to"
        f" {shares[-1]:.2f} under the single ceilings. After 96 evaluations it is behind `paper` in {early} of"
        f" {len(cases)} cases; given {most[0]} against {most[1]} it ends behind in {sum(w > 0 for w in worse)},"
        f" by at most {max(worse):.2%} (goal: never)."
    )


def budget_rows() -> list[str]:
    found = json.loads((ROOT / "benchmarks/results/search_budget.json").read_text())
    used, larger = found["share_used"], found["where_larger_are_better"]
    rows = {
        "searches, each under another ceiling": f"{found['searches']}",
        "the choice, measured again, inside": f"{found['inside']} (goal {found['inside_goal']})",
        "worst over its ceiling": f"{found['worst_over']:+.1%} (goal at most {found['over_allowed']:.1%})",
        "used of the ceiling, median (quartiles)": f"{used['median']:.0%} ({used['q1']:.0%} to {used['q3']:.0%})",
        f"used more than {larger['used_more_than']:.0%}, where larger subnets were more accurate": (
            f"{larger['did']} of {larger['searches']}"
        ),
        "ended without a choice": f"{found['ended_without_choice']}",
    }
    return [f"| {label} | {value} |" for label, value in rows.items()]


def overhead_sentence() -> str:
    found = json.loads((ROOT / "benchmarks/results/search_overhead.json").read_text())
    return (
        f"The default search itself takes {found['surrogate']['share']:.1%} of a run of {found['evaluations']:,}"
        f" evaluations (goal {found['goal_share']:.0%}); {found['screening']['candidates']:,} candidates are drawn and"
        f" priced by a predictor in {found['screening']['seconds']:.0f} s (goal 60 s; one core)."
    )


def deployed_sentences() -> list[str]:
    timm = json.loads((ROOT / "benchmarks/results/against_timm.json").read_text())
    ratios = [f"{runtime['ratio']:.3f} ({name})" for name, runtime in timm["runtimes"].items()]
    found = json.loads((ROOT / "benchmarks/results/deploy.json").read_text())
    inherited, retrained = (
        sum(row[key] for row in found["retraining"]) / len(found["retraining"])
        for key in ("test_inherited", "test_retrained")
    )
    worse = sum(row["test_retrained"] < row["test_inherited"] for row in found["retraining"])
    latencies = [
        f"{row['latency_ms']['fp32'] / row['latency_ms']['int8']:.1f} ({row['format']})"
        for row in found["exports"]
        if row["precision"] == "int8"
    ]
    drop = max(row["drop"] for row in found["exports"])
    count, fewer = len(found["retraining"]), worse or "none"
    return [
        f"p50 over that of timm's own `{timm['model']}`: {', '.join(ratios)}; goal {timm['goal']}.",
        f"{count} retrainings took {inherited:.1%} of the test images to {retrained:.1%} on average, {fewer} to less;",
        f"every exported precision cost at most {drop:.1%} top-1 (goal 1%);",
        f"int8 was {' and '.join(latencies)} times as fast as fp32.",
    ]


def truth_row() -> str:
    result = json.loads((ROOT / "benchmarks/results/truth.json").read_text())
    ratios = [row["ratio"] for row in result["rows"]]
    floor = result["noise_floor_of_the_same_run"]
    return (
        f"{len(ratios)} subnets by OpenVINO's own `benchmark_app`: ours over theirs {result['ratio_median']:.3f} at the"
        f" median, {min(ratios):.3f} to {max(ratios):.3f}; our own halves of the same run differ by {floor['mean']:.1%}"
        f" on average, {floor['p90']:.1%} at the 90th percentile."
    )


def predictor_rows() -> list[str]:
    result = json.loads((ROOT / "benchmarks/results/predictors.json").read_text())
    rows = []
    for name, found in result["profiles"].items():
        kinds, other = found["learned"]["quiet"], found["best_baseline"]
        own, usual = kinds["xgboost"], found["learned"]["p50"]["xgboost"]
        goal = result["goals"]["mape"].get(name)
        thirds = min(own[f"third_{part}"] for part in (1, 2, 3))
        model = "one visit: not known"
        if "model" in own:
            model = f"{own['model']:.1%} ({own['model_low']:.1%} to {own['model_high']:.1%})"
        rows.append(
            f"| `{name}` | {model} | {own['mape']:.1%}{'' if goal is None else f' (goal {goal:.1%})'}"
            f" | {kinds[other]['mape']:.1%} (`{other}`) | {own['within_10']:.1%} | {usual['mape']:.1%},"
            f" {usual['within_10']:.1%} | {own['kendall']:.2f} | {own['coverage']:.0%}, {thirds:.0%} |"
        )
    return rows


def judged_rows() -> list[str]:
    """Old and new labels learned, on both and on the least samples of visits that met a quiet machine."""
    result = json.loads((ROOT / "benchmarks/results/predictors.json").read_text())
    rows = []
    for name, found in result["profiles"].items():
        old, p50, quiet = (found["learned"][labels]["xgboost"] for labels in ("old", "p50", "quiet"))
        cells = [
            f"{old[on]:.2%}, {new[on]:.2%}" if on in new else "no anchor"
            for on, new in (("on old", p50), ("on p50", p50), ("on quiet", quiet), ("on met quiet", quiet))
        ]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return rows


def shipped_rows() -> list[str]:
    rows = []
    for path in sorted((ROOT / "predictors/reports").glob("*.json")):
        report = json.loads(path.read_text())
        own = report["kinds"][0]
        model = "one visit each: not known"
        if own["apart"] is not None:
            low, high = own["apart"]["model_95"]
            model = f"{own['apart']['model']:.1%} ({low:.1%} to {high:.1%})"
        scores = own["scores"]
        rows.append(
            f"| `{path.stem}` | {model} | {scores['mape']:.1%} ({report['samples']} subnets)"
            f" | {scores['within_10']:.1%} | {scores['kendall']:.3f} | {report['noise_floor']:.1%} |"
        )
    return rows


def transfer_rows() -> list[str]:
    result = json.loads((ROOT / "benchmarks/results/predictors.json").read_text())
    rows = []
    for name, found in result["transfer"].items():
        three = [found[key] for key in ("transfer 20", "line through MACs 20", "full fit")]
        cells = [f"{one['mape']:.1%}, {one['spearman']:.3f}" for one in three]
        ways = [f"`{way}`" for way in name.split(" -> ")]
        rows.append(f"| {' to '.join(ways)} | {' | '.join(cells)} |")
    return rows


def throughput_row() -> str:
    result = json.loads((ROOT / "benchmarks/results/predictor_throughput.json").read_text())
    subnets, codes = (
        min(found[key] for found in result["predictors"].values()) for key in ("from_subnets", "from_codes")
    )
    return (
        f"The slowest of the shipped predictors predicts {subnets:,} subnets a second, or {codes:,} codes of its space"
        " (goals 20,000 and 200,000; one core)."
    )


def profile_rows() -> list[str]:
    rows = []
    for path in sorted((ROOT / "profiles").glob("*.jsonl")):
        profile = vh.load_profile(path)
        floor = profile.noise_floor
        assert floor is not None
        latencies = [measurement.latency_ms for measurement in profile.ok]
        errors = [measurement.quiet_error for measurement in profile.ok if measurement.quiet_error is not None]
        sure = f"{np.median(errors):.1%}" if errors else "one visit each: not known"
        of = "" if profile.anchor_ms is not None else " (of the p50)"
        rows.append(
            f"| `{profile.name}` | {len(profile.ok)} | {min(latencies):.3g} to {max(latencies):.3g} ms"
            f" | {floor.mean:.1%}, {'-' if floor.median is None else f'{floor.median:.1%}'}, {floor.p90:.1%}"
            f" ({floor.pairs} pairs) | {sure}{of} |"
        )
    return rows


def test_the_tables_of_the_method_are_those_of_the_benchmarks() -> None:
    for row in (*order_rows(), *cost_rows()):
        assert row in README


def test_the_sentences_on_deployment_are_those_of_the_benchmarks() -> None:
    for sentence in deployed_sentences():
        assert sentence in README


def test_the_tables_of_the_profiler_are_those_of_the_benchmarks() -> None:
    for row in (*repeatability_rows(), *speed_rows(), truth_row()):
        assert row in README
    for row in profile_rows():
        assert row in (ROOT / "profiles/README.md").read_text()


def test_the_tables_of_the_predictors_are_those_of_the_benchmarks() -> None:
    for row in (*predictor_rows(), *judged_rows(), *transfer_rows(), throughput_row()):
        assert row in README
    for row in shipped_rows():
        assert row in (ROOT / "predictors/README.md").read_text()
    tables = json.loads((ROOT / "benchmarks/results/tables.json").read_text())
    worst = max(row["ratio"] for row in tables["tables"].values())
    assert f"{len(tables['tables'])} tables for `fit --csv`: at most {worst:.3f} of the error before" in README


def test_the_tables_of_the_search_are_those_of_the_benchmarks() -> None:
    for row in (*search_rows(), search_sentence(), *budget_rows(), overhead_sentence()):
        assert row in README


def test_the_share_inside_a_budget_is_that_of_the_benchmark() -> None:
    result = json.loads((ROOT / "benchmarks/results/identity_probability.json").read_text())
    samples, trained = result["samples"], result["accuracy"].values()
    for key, unit in (("drawn_with_found_p", " points"), ("drawn_with_usual_p", "")):
        assert " and ".join(f"{100 * one[key]['difference']:+.1f}" for one in trained) + unit in README
    (row,) = (row for row in samples if row["space"] == "vitas-digits" and row["budget"] == "1ms")
    assert f"{row['found']['share']:.0%} lie inside 1 ms with the probability found, against" in README
    assert f"{row['usual']['share']:.0%} with 0.5" in README


def test_the_newcomers_time_is_that_of_the_benchmark() -> None:
    result = json.loads((ROOT / "benchmarks/results/newcomer.json").read_text())
    page = " ".join((ROOT / "docs/your-data.md").read_text().split())
    assert f"the five commands take {result['seconds']:.0f} s on two cores" in page
    assert (
        f"of 100 new images the exported model names {result['top1_of_100_unseen_by_onnxruntime']:.0%} rightly" in page
    )


def test_the_first_screen_shows_both_make_targets() -> None:
    first_screen = "\n".join(README.splitlines()[:25])
    assert "make quickstart" in first_screen
    assert "make test" in first_screen
