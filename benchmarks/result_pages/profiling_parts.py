"""How well latencies are measured: repeated, against another tool, how fast; the shipped profiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vitas_hw as vh

from .parts import Found, Part, Section, against, table

WAYS = {
    "ours, quiet": "ours: the quiet latency of the same visits",
    "ours": "ours: interleaved rounds, new processes, drift corrected by the anchor",
    "all rounds, no anchor": "the same visits without the anchor",
    "one round, no anchor": "one round of them, without the anchor",
    "all rounds, minimum, no anchor": "their minimum, without the anchor (no p50)",
    "naive: 15 in a row, median": "naive: 15 inferences in a row, their median",
}
BACKENDS = ("onnxruntime", "openvino")
EXPORTERS = {
    "ours": "ours: the graph written from the subnet",
    "torch, legacy": "`torch.onnx.export(dynamo=False)`",
    "torch, default": "`torch.onnx.export`",
}
WITHIN = 0.05  # of another tool's timing, or the noise floor


def repeated(found: Found) -> str:
    goal, rows = found["goal"], []
    for name, label in WAYS.items():
        if name not in found["rows"]:
            continue
        one = found["rows"][name]
        cells = [
            against(f"{one[key]:.1%}", f"{goal[key]:.0%}", one[key] <= goal[key])
            if name.startswith("ours")
            else f"{one[key]:.1%}"
            for key in ("median", "p90")
        ]
        rows.append((label, *cells))
    settings = found["environment"]["settings"]
    return (
        f"Two independent profilings of the same {settings['num_subnets']} subnets of `{settings['space']}`,"
        f" {settings['rounds']} rounds each, on a shared"
        f" virtual machine (`{found['target']}`); relative"
        f" difference:\n\n{table(('', 'median', '90th percentile'), rows)}"
    )


def quieter(found: Found) -> str | None:
    """How much better the quiet latency repeats; None where it was not there yet."""
    if "times_better" not in found:
        return None
    return _times_better(found["times_better"], found["goal"].get("times_better"))


def _times_better(better: Found, goal: float | None) -> str:
    cells = []
    for name, words in (("median", "median"), ("p90", "90th percentile")):
        low, high = better[f"{name}_95"]
        shown = f"{better[name]:.2f}"
        if goal is not None and name == "median":
            shown = against(shown, f"{goal}", better[name] >= goal)
        cells.append(f"{shown} ({low:.2f} to {high:.2f}) times at the {words}")
    return f"The quiet latency repeats better than the p50 on the same visits: {', '.join(cells)} (95% intervals)."


def shipped_repeated(found: Found) -> str:
    rows = []
    for name, one in found.items():
        if name != "environment":
            both = [one["rows"][way] for way in ("ours, quiet", "ours", "one round, no anchor")]
            rows.append((f"`{name}`", *(f"{way['median']:.1%}, {way['p90']:.1%}" for way in both)))
    better = [
        f"`{name}`: {_times_better(one['times_better'], None)}" for name, one in found.items() if name != "environment"
    ]
    head = (
        "two visits of a subnet in a profile: median, 90th percentile",
        "quiet latency",
        "p50",
        "without the anchor",
    )
    listed = "\n".join(f"- {line}" for line in better)
    return f"{table(head, rows)}\n{listed}"


def exported(found: Found) -> str:
    rows = []
    for name, label in EXPORTERS.items():
        times = ""
        if name != "ours":
            median, goal = found["times_ours"][name]["median"], found["goal"][name]
            times = against(f"{median:.1f}", f"{goal}", median >= goal)
        rows.append((label, f"{found['seconds'][name]['median']:.2f} s", times, f"{found['rows_a_minute'][name]:.0f}"))
    head = ("from a subnet to a session of ONNX Runtime", "median", "times ours", "rows of a profile a minute")
    return table(head, rows)


def beside_benchmark_app(found: Found) -> str:
    ratios = [row["ratio"] for row in found["rows"]]
    floor = found["noise_floor_of_the_same_run"]
    allowed = max(WITHIN, floor["mean"])
    met = all(abs(ratio - 1) <= allowed for ratio in ratios)
    spread = against(f"{min(ratios):.3f} to {max(ratios):.3f}", found["goal"], met)
    return (
        f"{len(ratios)} subnets by OpenVINO's own `benchmark_app`, float32, one thread, alternating: ours over theirs"
        f" {found['ratio_median']:.3f} at the median, {spread}; our own halves of the same run differ by"
        f" {floor['mean']:.1%} on average, {floor['p90']:.1%} at the 90th percentile."
    )


def profiles(root: Path) -> str:
    """The table of the shipped profiles."""
    rows = []
    for path in sorted((root / "profiles").glob("*.jsonl")):
        profile = vh.load_profile(path)
        floor = profile.noise_floor
        assert floor is not None
        latencies = [measurement.latency_ms for measurement in profile.ok]
        errors = [measurement.quiet_error for measurement in profile.ok if measurement.quiet_error is not None]
        sure = f"{np.median(errors):.1%}" if errors else "one visit each: not known"
        median = "-" if floor.median is None else f"{floor.median:.1%}"
        rows.append(
            (
                f"`{profile.name}`",
                len(profile.ok),
                f"{min(latencies):.3g} to {max(latencies):.3g} ms",
                f"{floor.mean:.1%}, {median}, {floor.p90:.1%} ({floor.pairs} pairs)",
                sure + ("" if profile.anchor_ms is not None else " (of the p50)"),
            )
        )
    head = (
        "profile",
        "subnets",
        "p50",
        "its noise floor: mean, median, 90th percentile",
        "error of a quiet latency (median subnet)",
    )
    return table(head, rows)


PROFILING = Section(
    "Measuring latencies",
    (
        *(
            Part(
                f"How far do two profilings of a machine differ ({backend})?",
                f"python benchmarks/repeatability.py --backend {backend}",
                (f"results/repeatability_{backend}.json",),
                repeated,
            )
            for backend in BACKENDS
        ),
        *(
            Part(
                f"How much better does a quiet latency repeat than a p50 ({backend})?",
                f"python benchmarks/repeatability.py --backend {backend}",
                (f"results/repeatability_{backend}.json",),
                quieter,
            )
            for backend in BACKENDS
        ),
        Part(
            "How far do two visits of a subnet differ in the shipped profiles?",
            "python benchmarks/repeatability.py --shipped",
            ("results/repeatability_shipped.json",),
            shipped_repeated,
        ),
        Part(
            "How fast is a subnet ready to be timed?",
            "python benchmarks/export_speed.py",
            ("results/export_speed.json",),
            exported,
        ),
        Part(
            "Does another tool measure the same?",
            "python benchmarks/truth.py",
            ("results/truth.json",),
            beside_benchmark_app,
        ),
    ),
)
