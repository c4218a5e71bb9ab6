"""What ``vitas-hw profile`` prints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.cli import console
from vitas_hw.cli.options import in_run
from vitas_hw.profiling.imported import Bundle
from vitas_hw.profiling.profile import Profile
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.profile.from_old_predictor import WouldHave
from vitas_hw.workflows.profile.profile import Profiled
from vitas_hw.workflows.search.search import default_budget

_HELPS = {  # against the largest part of the noise
    "jitter": "more --rounds: samples within a visit differ most",
    "visit": "more --rounds: visits differ, though the machine is quiet",
    "drift": "a quieter machine or a core of its own; more --rounds, to meet its quiet moments",
    "session": "profiling again on another day; more rounds now would not help",
}


def _as_json(done: Profiled) -> dict[str, Any]:
    floor = done.profile.noise_floor
    return {
        "profile": str(done.profile_path),
        "predictor": str(done.predictor_path),
        "ok": len(done.profile.ok),
        "failed": len(done.profile.measurements) - len(done.profile.ok),
        "noise_floor": None if floor is None else floor.mean,
        "quiet": _quiet_as_json(done.profile),
        "mape": done.predictor.metrics["mape"],
        "would_have": [asdict(tried) for tried in done.would_have],
        "grown": done.profile.environment.get("grown"),
    }


def _quiet_as_json(profile: Profile) -> dict[str, Any] | None:
    quiet = profile.quiet
    if quiet is None:
        return None
    return {
        "means": quiet.means,
        "noise_floor": None if quiet.floor is None else asdict(quiet.floor),
        "error": _typical_error(profile),
        "noise": None if quiet.split is None else asdict(quiet.split),
        "unknown": quiet.unknown,
        "helps": None if quiet.split is None else _HELPS[quiet.split.largest],
    }


def _how_sure(profile: Profile) -> str:
    """How well quiet latencies are known, where the noise comes from and what would help, in sentences."""
    quiet, error = profile.quiet, _typical_error(profile)
    if quiet is None:
        return ""
    if quiet.split is None or error is None:
        return quiet.unknown
    parts = {name: part for name, part in asdict(quiet.split).items() if part is not None}
    shown = ", ".join(f"{name} {part:.1%}" for name, part in parts.items())
    return (
        f"Latencies on the quiet machine are known to {error:.1%} (the median subnet): {shown}.\n"
        f"What would help: {_HELPS[quiet.split.largest]}."
    )


def _typical_error(profile: Profile) -> float | None:
    errors = [row.quiet_error for row in profile.ok if row.quiet_error is not None]
    return float(np.median(errors)) if errors else None


def print_fleet(profiles: list[Profiled], as_json: bool) -> None:
    """A table for each profile; as JSON, one object with all of them."""
    if as_json:
        console.print_json({"profiles": [_as_json(done) for done in profiles]})
    else:
        for done in profiles:
            print_profiled(done, as_json)


def print_profiled(done: Profiled, as_json: bool) -> None:
    """What was measured, how well the machine kept still, and how good the predictor is."""
    if as_json:
        console.print_json(_as_json(done))
        return
    floor = done.profile.noise_floor
    quiet = None if done.profile.quiet is None else done.profile.quiet.floor
    failed = [measurement for measurement in done.profile.measurements if measurement.failed]
    latencies = [measurement.latency_ms for measurement in done.profile.ok]
    metrics = done.predictor.metrics
    console.table(
        f"Profile of {done.profile.name}",
        ["", "value"],
        [
            ["subnets measured", str(len(done.profile.ok))],
            ["failed", f"{len(failed)}, the first: {failed[0].failed}" if failed else "0"],
            ["p50 from", console.milliseconds(min(latencies))],
            ["p50 to", console.milliseconds(max(latencies))],
            ["noise floor: mean difference of two measurements", console.percent(floor.mean if floor else None)],
            ["  its median and 90th percentile", f"{floor.median:.1%}, {floor.p90:.1%}" if floor else "-"],
            ["  both on the quiet machine", f"{quiet.median:.1%}, {quiet.p90:.1%}" if quiet else "-"],
            ["the machine's drift around its median (90% of visits)", _drift(done)],
            ["predictor: mean error on unseen subnets", console.percent(metrics["mape"])],
            ["  of that the model's own, without the labels' noise", console.percent(metrics["model_error"])],
            ["predictor: within 10%", console.percent(metrics["within_10"])],
            ["predictor: Spearman", f"{metrics['spearman']:.3f}"],
        ],
    )
    if sure := _how_sure(done.profile):
        console.OUT.print(sure, markup=False)
    if done.would_have:
        console.table(
            "Starting from the old predictor, so many subnets give",
            ["measured", "mean error", "Spearman", "on"],
            [_tried(tried) for tried in done.would_have],
        )
    if "grown" in done.profile.environment:
        console.OUT.print(f"Stopped: {done.profile.environment['grown']['reason']}", markup=False)
    console.OUT.print(f"Profile:   {done.profile_path}\nPredictor: {done.predictor_path}", markup=False)
    run = done.profile_path.parent.parent
    budget = default_budget(done.profile.space, done.predictor).latency_ms
    assert budget is not None
    search = f"search --latency {budget.high:g}ms"  # one that binds: few of the subnets measured above meet it
    after = [search] if Run(run).supernet.exists() else ["train", search]
    console.OUT.print(f"Next: {in_run(run, *after)}", markup=False)


def print_bundle(made: Bundle, folder: Path, as_json: bool) -> None:
    """Where the bundle lies, and what to type there and back here."""
    if as_json:
        console.print_json({"bundle": str(folder), "subnets": len(made.subnets), "visits": len(made.visits)})
        return
    console.OUT.print(
        f"{len(made.subnets)} models and a runner lie in {folder}; its README says what to do.", markup=False
    )
    console.OUT.print(
        f"There:  python run.py --out results.csv\nBack here:  vitas-hw profile --import {folder}/results.csv"
        " --device-name NAME",
        markup=False,
    )


def _tried(tried: WouldHave) -> list[str]:
    if tried.mape is None:
        return [str(tried.count), "-", "-", "too few others are measured"]
    return [
        str(tried.count),
        console.percent(tried.mape),
        f"{tried.spearman:.3f}",
        f"{tried.tested} others that are measured",
    ]


def _drift(done: Profiled) -> str:
    drift = [change for measurement in done.profile.ok for change in measurement.drift]
    if not drift:
        return "not measured"
    low, high = np.percentile(drift, [5, 95]) - 1
    return f"{low:+.1%} to {high:+.1%}"
