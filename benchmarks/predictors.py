"""Every kind of predictor on every shipped profile: held-out errors, the model's part of them, intervals, transfer.

    python benchmarks/predictors.py run [--workers 2]      # what is missing in results/predictors.jsonl; may be stopped
    python benchmarks/predictors.py report                 # results/predictors.json and the table

Five splits (seeds of the cross-validation) a profile, hyperparameters chosen in each training fold. The label of a row
that is tested comes from its own visits and from corrections (the drift's slopes, the p50 over the quiet latency) that
were fitted to the training fold alone. A row belongs to its profile's samples; delete the rows after a change of the
predictors or of the labels.

``judged``: predictors that learned the old labels (the p50 of all samples, each over its visit's drift) and the new
ones, held against both, and against the least sample of visits that met a quiet machine, which no fit has touched.
Labels of another level than those learned are reached by a cubic in the size that is fitted to the training fold.
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
from baselines import BASELINES, fit_any
from bench_tools import RESULTS, Floats, read_rows, run_missing, write

import vitas_hw as vh
from vitas_hw.core.statistic import P50, STATISTICS
from vitas_hw.predictors.cross_validation import folds, scores
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.kinds import DEFAULT_KIND, KINDS
from vitas_hw.predictors.label_noise import split_error
from vitas_hw.predictors.line import fit_flops
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.registry import fit_model, held_out_predictions
from vitas_hw.predictors.report import covered_by_fold
from vitas_hw.predictors.shipped import shipped
from vitas_hw.predictors.transfer import choose_to_measure, transfer
from vitas_hw.profiling.estimate import Visits
from vitas_hw.profiling.labels import ratio_by_size
from vitas_hw.profiling.profile import Profile
from vitas_hw.workflows.fit import labelled, measured_of

ROWS = RESULTS / "predictors.jsonl"
SPLITS = 5
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
    """A kind cross-validated on a profile's labels of a statistic (``judged``: on old and new ones), or that profile's
    predictor moved to another one's target.
    """

    profile: str
    kind: str
    seed: int
    statistic: str | None
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
    """The slow ones last: transfers, then networks."""
    sha = {path.stem: sha_of(path.stem) for path in sorted(shipped("profiles").glob("*.jsonl"))}
    found = []
    for kind in (*KINDS, "judged", *(kind for kind in BASELINES if kind != "mlp"), "transfer", "mlp"):
        for name in sorted(sha, key=lambda name: len(profile_named(name).ok)):
            others = [
                other for other in sha if other != name and profile_named(other).space == profile_named(name).space
            ]
            for seed in range(SPLITS):
                if kind == "transfer":
                    found += [Job(name, kind, seed, P50, other, f"{sha[name]}+{sha[other]}") for other in others]
                elif kind == "judged":
                    found.append(Job(name, kind, seed, None, None, sha[name]))
                else:
                    found += [Job(name, kind, seed, statistic, None, sha[name]) for statistic in STATISTICS]
    return found


def run(job: Job) -> dict[str, Any]:
    start = time.process_time()
    rows = {"transfer": transfer_row, "judged": judged_row}
    found = rows.get(job.kind, kind_row)(job)
    return asdict(job) | {"found": found, "cpu_s": round(time.process_time() - start, 2)}


def kind_row(job: Job) -> dict[str, Any]:
    assert job.statistic is not None
    found = measured_of(profile_named(job.profile), statistic=job.statistic).examples()
    held_out, tested = held_out_predictions(job.kind, found, job.seed, fit_any), found.tested(job.seed)
    apart = split_error(held_out, tested)
    own = (
        {} if apart is None else {"model": apart.model, "model_low": apart.model_95[0], "model_high": apart.model_95[1]}
    )
    return scores(held_out, tested.measured) | own | pooled(held_out, tested.measured, job.seed)


def old_labels(profile: Profile) -> Examples:
    """What predictors learned before: the p50 of all samples, each over its visit's drift; all rows alike."""
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


def judged_row(job: Job) -> dict[str, Any]:
    """Held-out errors of the default kind by the labels it learned and those it is held against."""
    profile = profile_named(job.profile)
    learned = {"old": old_labels(profile)}
    learned |= {statistic: measured_of(profile, statistic=statistic).examples() for statistic in STATISTICS}
    splits = {name: examples.split(job.seed) for name, examples in learned.items()}
    least = met_quiet(profile)
    rows: dict[str, dict[str, Any]] = {}
    for name, parts in splits.items():
        found: dict[str, list[Floats]] = {}
        for fold, part in enumerate(parts):
            seen = np.setdiff1d(np.arange(len(least)), part.rows)
            predicted = fit_model(DEFAULT_KIND, part.seen, job.seed).predict(part.tested.table)
            labels = {other: (each[fold].seen.measured, each[fold].tested.measured) for other, each in splits.items()}
            for other, (known, wanted) in (labels | {"met quiet": (least[seen], least[part.rows])}).items():
                both, there = np.isfinite(known), np.isfinite(wanted)
                if not there.any():
                    continue
                level = 1.0
                if other != name:
                    level = ratio_by_size(part.seen.measured[both], known[both])(predicted[there])
                found.setdefault(other, []).append(np.abs(predicted[there] * level / wanted[there] - 1))
        whole = {other: np.concatenate(errors) for other, errors in found.items()}
        rows[name] = {
            other: {"mape": float(error.mean()), "within_10": float((error <= 0.1).mean()), "rows": len(error)}
            for other, error in whole.items()
        }
    return rows


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
    whole: dict[tuple[str, str | None, str], list[dict[str, Any]]] = {}
    for job in jobs():
        done = next((row for row in rows if asdict(job).items() <= row.items()), None)
        if done is not None:
            place = job.profile if job.to is None else f"{job.profile} -> {job.to}"
            whole.setdefault((place, job.statistic, job.kind), []).append(done)
    whole = {key: some for key, some in whole.items() if len(some) == SPLITS}
    profiles: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for (place, statistic, kind), some in whole.items():
        found = [row["found"] for row in some]
        if kind == "transfer":
            moved[place] = {key: mean_of([row[key] for row in found]) for key in found[0]}
            continue
        about = profiles.setdefault(place, {"subnets": len(profile_named(place).ok), "judged": {}})
        if kind == "judged":
            about["judged"] = {
                learned: {on: mean_of([row[learned][on] for row in found]) for on in held}
                for learned, held in found[0].items()
            }
        else:
            seconds = round(float(np.mean([row["cpu_s"] for row in some])), 1)
            about.setdefault(statistic, {"kinds": {}})["kinds"][kind] = mean_of(found) | {"cpu_s": seconds}
    for about in profiles.values():
        for statistic in STATISTICS:
            about[statistic] |= beside_others(about[statistic]["kinds"])
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
        for statistic in STATISTICS:
            row = about[statistic]
            print(f"\n{name}: {about['subnets']} subnets, {statistic} labels")
            for kind, found in row["kinds"].items():
                shares = "  ".join(f"{key} {found[key]:.3f}" for key in ("within_10", "kendall", "spearman"))
                print(f"  {kind:8} {found['mape']:.2%}{model_words(found)}  {shares}  {found['cpu_s']:.1f} s")
            own = row["kinds"][DEFAULT_KIND]
            if goal is not None:
                print(
                    f"  mean error {own['mape']:.2%}, goal <= {goal:.1%}; within 10% {own['within_10']:.1%}, goal >= 97%"
                )
            print(f"  over the best baseline ({row['best_baseline']}) {row['over_best_baseline']}, goal <= 1.02")
            covered = "  ".join(f"{own[key]:.3f}" for key in ("coverage", "third_1", "third_2", "third_3"))
            print(f"  coverage and its thirds {covered}, goal 0.87 to 0.94, thirds >= 0.83")
        for learned, held in about["judged"].items():
            errors = "  ".join(
                f"{on} {one['mape']:.2%} ({one['within_10']:.1%} within 10%)" for on, one in held.items()
            )
            print(f"  learned {learned:6} labels, held against: {errors}")
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
