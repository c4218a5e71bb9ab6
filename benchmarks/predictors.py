"""Every kind of predictor on every shipped profile: held-out errors, the model's part of them, intervals, transfer.

    python benchmarks/predictors.py run [--workers 2]      # what is missing in results/predictors.jsonl; may be stopped
    python benchmarks/predictors.py report                 # results/predictors.json and the table

Two splits (seeds of the cross-validation) a profile, hyperparameters chosen in each training fold. The label of a row
that is tested comes from its own visits and from corrections (the drift's slopes, the p50 over the quiet latency) that
were fitted to the training fold alone. A row belongs to its profile's samples; delete the rows after a change of the
predictors or of the labels.

Predictors of the default kind that learned the old labels (the p50 of all samples, each over its visit's drift) and the
new ones are held against both, and against the least sample of visits that met a quiet machine, which no fit has
touched. Labels of another level than those learned are reached by a cubic in the size, fitted to the training fold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from baselines import fit_any
from bench_tools import RESULTS, Floats, read_rows, run_missing, write

import vitas_hw as vh
from vitas_hw.core.statistic import P50, QUIET
from vitas_hw.predictors import Predictor
from vitas_hw.predictors.cross_validation import folds, scores
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.kinds import DEFAULT_KIND, KINDS
from vitas_hw.predictors.label_noise import split_error
from vitas_hw.predictors.line import fit_flops
from vitas_hw.predictors.registry import fit_model, held_out_predictions
from vitas_hw.predictors.report import covered_by_fold
from vitas_hw.predictors.shipped import shipped
from vitas_hw.predictors.transfer import choose_to_measure, transfer
from vitas_hw.profiling import Profile
from vitas_hw.profiling.estimate import Visits
from vitas_hw.profiling.labels import ratio_by_size
from vitas_hw.workflows.fit import labelled, measured_of

ROWS = RESULTS / "predictors.jsonl"
SPLITS = 2
OLD = "old"
LABELS = (OLD, P50, QUIET)
TRANSFERRED = (10, 20, 50)
ON_A_QUIET_MACHINE = 0.03  # the anchor at most so much slower than on the quiet machine
GOALS = {
    "over_best_baseline": 1.02,
    "kendall": 0.95,
    "within_10": 0.97,
    "mape": {
        "amd-epyc-zen3-onnxruntime-fp32-b1-t1-i224--autoformer-small": 0.022,
        "amd-epyc-zen3-openvino-fp32-b1-t1-i224--autoformer-small": 0.035,
        "amd-epyc-zen3-openvino-fp32-b1-t1-i224--vitas-deit-tiny": 0.026,
        "amd-epyc-zen3-onnxruntime-fp32-b1-t1-i224--vitas-deit-tiny": 0.036,
    },
}


@dataclass(frozen=True)
class Job:
    """A kind cross-validated on a profile's labels, or that profile's predictor moved to another one's target."""

    profile: str
    kind: str
    seed: int
    labels: str  # one of LABELS
    to: str | None
    sha256: str  # of the profiles' samples, first letters


@cache
def profile_named(name: str) -> Profile:
    return vh.load_profile(shipped("profiles") / f"{name}.jsonl")


@cache
def sha_of(name: str) -> str:
    """Of what labels are made of, whatever else stands in the file."""
    rows = [(row.subnet.digest, row.rounds_ms, row.drift) for row in profile_named(name).ok]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def jobs() -> list[Job]:
    """The default kind first, on every kind of label; the others on quiet ones; the slow ones last."""
    sha = {path.stem: sha_of(path.stem) for path in sorted(shipped("profiles").glob("*.jsonl"))}
    found = []
    for seed in range(SPLITS):
        for kind in (*KINDS, "transfer", "mlp", "lookup"):
            for name in sha:
                space = profile_named(name).space
                others = [other for other in sha if other != name and profile_named(other).space == space]
                if kind == "transfer":
                    found += [Job(name, kind, seed, P50, other, f"{sha[name]}+{sha[other]}") for other in others]
                else:
                    labels = LABELS if kind == DEFAULT_KIND else (QUIET,)
                    found += [Job(name, kind, seed, statistic, None, sha[name]) for statistic in labels]
    return found


def run(job: Job) -> dict[str, Any]:
    start = time.process_time()
    found = kind_row(job) if job.to is None else transfer_row(job)
    return asdict(job) | {"found": found, "cpu_s": round(time.process_time() - start, 2)}


def kind_row(job: Job) -> dict[str, Any]:
    found = learned(profile_named(job.profile), job.labels)
    held_out, tested = held_out_predictions(job.kind, found, job.seed, fit_any), found.tested(job.seed)
    apart = split_error(held_out, tested)
    own = (
        {} if apart is None else {"model": apart.model, "model_low": apart.model_95[0], "model_high": apart.model_95[1]}
    )
    row = scores(held_out, tested.measured) | own | pooled(held_out, tested.measured, job.seed)
    return row | (judged(job, held_out) if job.kind == DEFAULT_KIND else {})


def learned(profile: Profile, labels: str) -> Examples:
    """What a predictor learns. ``old``: the p50 of all samples, each over its visit's drift, and all rows alike."""
    if labels != OLD:
        return measured_of(profile, statistic=labels).examples()
    p50 = [row.latency_ms for row in profile.ok]
    return Measured([row.subnet for row in profile.ok], p50, profile.target, profile.space).examples()


def met_quiet(profile: Profile) -> Floats:
    """(N,) the least sample of the visits that met a quiet machine; NaN where none did, or without an anchor."""
    visits = Visits.of([row.rounds_ms for row in profile.ok], [row.drift for row in profile.ok])
    least = np.full(len(visits.p50), np.inf)
    if visits.loud is not None:
        quiet = visits.loud < ON_A_QUIET_MACHINE
        np.minimum.at(least, visits.row[quiet], visits.low[quiet])
    return np.where(np.isfinite(least), np.exp(least), np.nan)


def judged(job: Job, held_out: Floats) -> dict[str, float]:
    """Held-out predictions against every kind of label: ``on OLD`` and so on, mean error and share within 10%."""
    profile, least = profile_named(job.profile), met_quiet(profile_named(job.profile))
    splits = {labels: learned(profile, labels).split(job.seed) for labels in LABELS}
    found: dict[str, list[Floats]] = {}
    for fold, own in enumerate(splits[job.labels]):
        seen = np.setdiff1d(np.arange(len(least)), own.rows)
        against = {on: (parts[fold].seen.measured, parts[fold].tested.measured) for on, parts in splits.items()}
        for on, (known, wanted) in (against | {"met quiet": (least[seen], least[own.rows])}).items():
            both, there, predicted = np.isfinite(known), np.isfinite(wanted), held_out[own.rows]
            if both.any() and there.any():
                level = ratio_by_size(own.seen.measured[both], known[both])(predicted) if on != job.labels else 1.0
                found.setdefault(on, []).append(np.abs(predicted * level / wanted - 1)[there])
    errors = {on: np.concatenate(parts) for on, parts in found.items()}
    means = {f"on {on}": float(error.mean()) for on, error in errors.items()}
    return means | {f"on {on}, within_10": float((error <= 0.1).mean()) for on, error in errors.items()}


def pooled(held_out: Floats, measured: Floats, seed: int) -> dict[str, float]:
    """Coverage of intervals calibrated without the fold that they are tested on; thirds are of the measured order."""
    inside = covered_by_fold(held_out, measured, folds(len(measured), seed))
    thirds = [float(inside[part].mean()) for part in np.array_split(np.argsort(measured, kind="stable"), 3)]
    return {"coverage": float(inside.mean()), **{f"third_{i + 1}": value for i, value in enumerate(thirds)}}


def transfer_row(job: Job) -> dict[str, Any]:
    """Tested on a fifth of the other profile's subnets, which no predictor here has seen on either target."""
    assert job.to is not None
    profile = profile_named(job.to)
    every = measured_of(profile)
    assert every.labeller is not None
    subnets = list(every.subnets)
    train, test = folds(len(subnets), job.seed)[0]
    measured = every.labeller(train).measured
    pool, unseen = [subnets[index] for index in train], [subnets[index] for index in test]
    old, full = (fitted(name, frozenset(unseen), job.seed) for name in (job.profile, job.to))
    latency = dict(zip(subnets, measured.tolist(), strict=True))
    found: dict[str, Any] = {"full fit": scores(full.predict(unseen).latency_ms, measured[test])}
    for count in TRANSFERRED:
        chosen = choose_to_measure(old, pool, count, job.seed)
        known = Measured(chosen, [latency[subnet] for subnet in chosen], profile.target, profile.space)
        new = transfer(old, known, job.seed)
        found[f"transfer {count}"] = scores(new.predict(unseen).latency_ms, measured[test])
        line = fit_flops(known.examples(2), job.seed)
        table = Measured(unseen, measured[test], profile.target, profile.space).examples(1).table
        found[f"line through MACs {count}"] = scores(line.predict(table), measured[test])
    return found


@cache
def fitted(name: str, without: frozenset[Any], seed: int) -> Predictor:
    """The default kind on a profile without some subnets; only its model is used here, not its interval."""
    profile = profile_named(name)
    known = labelled([row for row in profile.ok if row.subnet not in without], profile.target, profile.space)
    found = known.examples()
    model = fit_model(DEFAULT_KIND, found, seed)
    return Predictor.of(known, found, DEFAULT_KIND, model, model.predict(found.table), seed)


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 5) for key in rows[0]}


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the splits; a kind whose splits are not all there is left out."""
    whole: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for job in jobs():
        done = next((row for row in rows if asdict(job).items() <= row.items()), None)
        if done is not None:
            place = job.profile if job.to is None else f"{job.profile} -> {job.to}"
            whole.setdefault((place, job.labels, job.kind), []).append(done)
    profiles: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for (place, labels, kind), some in whole.items():
        if len(some) < SPLITS:
            continue
        found = [row["found"] for row in some]
        if kind == "transfer":
            moved[place] = {key: mean_of([row[key] for row in found]) for key in found[0]}
            continue
        about = profiles.setdefault(place, {"subnets": len(profile_named(place).ok), "learned": {}})
        seconds = round(float(np.mean([row["cpu_s"] for row in some])), 1)
        about["learned"].setdefault(labels, {})[kind] = mean_of(found) | {"cpu_s": seconds}
    for about in profiles.values():
        about |= beside_others(about["learned"][QUIET])
    return {"goals": GOALS, "profiles": profiles, "transfer": moved}


def beside_others(kinds: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The best kind that is not the default, and the default's error over its."""
    others = {kind: one["mape"] for kind, one in kinds.items() if kind != DEFAULT_KIND}
    best = min(others, key=others.__getitem__, default=None)
    over = None if best is None else round(kinds[DEFAULT_KIND]["mape"] / others[best], 3)
    return {"best_baseline": best, "over_best_baseline": over}


def show(result: dict[str, Any]) -> None:
    for name, about in result["profiles"].items():
        goal = GOALS["mape"].get(name)
        for labels, kinds in about["learned"].items():
            print(f"\n{name}: {about['subnets']} subnets, {labels} labels")
            for kind, found in kinds.items():
                shares = "  ".join(f"{key} {found[key]:.3f}" for key in ("within_10", "kendall", "spearman"))
                print(f"  {kind:8} {found['mape']:.2%}{model_words(found)}  {shares}  {found['cpu_s']:.1f} s")
            own = kinds[DEFAULT_KIND]
            if goal is not None and labels == QUIET:
                print(f"  mean error {own['mape']:.2%}, goal {goal:.1%}; within 10% {own['within_10']:.1%}, goal 97%")
            held = [on for on in (*LABELS, "met quiet") if f"on {on}" in own]
            words = (f"{on} {own[f'on {on}']:.2%} ({own[f'on {on}, within_10']:.1%} within 10%)" for on in held)
            print(f"  held against: {', '.join(words)}")
            covered = "  ".join(f"{own[key]:.3f}" for key in ("coverage", "third_1", "third_2", "third_3"))
            print(f"  coverage and its thirds {covered}, goal 0.87 to 0.94, thirds >= 0.83")
        print(f"  over the best baseline ({about['best_baseline']}) {about['over_best_baseline']}, goal 1.02")
    for name, row in result["transfer"].items():
        print(f"\n{name}")
        for key, found in row.items():
            print(f"  {key:22} {found['mape']:.2%}  rho {found['spearman']:.4f}")


def model_words(found: dict[str, float]) -> str:
    """The part of a mean error that is the model's, if it is known; the interval is the mean of the splits'."""
    if "model" not in found:
        return ""
    return f" (of the model {found['model']:.2%}, 95% {found['model_low']:.2%} to {found['model_high']:.2%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run_missing(jobs(), run, ROWS, arguments.workers)
        return
    result = report(read_rows(ROWS))
    show(result)
    write(RESULTS / "predictors.json", result, {"splits": SPLITS}, os.getloadavg()[0])


if __name__ == "__main__":
    main()
