"""Every kind of predictor on every shipped profile: held-out errors, intervals, what noise allows, transfer.

    python benchmarks/predictors.py run [--workers 2]      # what is missing in results/predictors.jsonl; may be stopped
    python benchmarks/predictors.py report                 # results/predictors.json and the table

Five splits (seeds of the cross-validation) a profile, hyperparameters chosen in each training fold. A row belongs to
its profile's content; delete the rows after a change of the predictors. What a perfect predictor would score is in
``noise_ceiling.py``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from baselines import BASELINES, fit_any
from bench_tools import RESULTS, Floats, read_rows, run_missing, write
from noise_ceiling import ceiling

import vitas_hw as vh
from vitas_hw.core.reading import file_sha256
from vitas_hw.predictors.cross_validation import folds, scores
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.kinds import DEFAULT_KIND, KINDS
from vitas_hw.predictors.line import fit_flops
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.registry import fit_model, held_out_predictions
from vitas_hw.predictors.report import covered_by_fold
from vitas_hw.predictors.shipped import shipped
from vitas_hw.predictors.transfer import choose_to_measure, transfer
from vitas_hw.profiling.profile import Profile
from vitas_hw.workflows.fit import measured_of

ROWS = RESULTS / "predictors.jsonl"
SPLITS = 5
TRANSFERRED = (10, 20, 50)
HIGHEST_FLOOR = 0.04  # a noise floor above counts as this
GOALS = {"over_best_baseline": 1.02, "over_noise_floor": 1.5, "kendall": 0.95, "within_10": 0.97}


@dataclass(frozen=True)
class Job:
    """A kind cross-validated on a profile, or that profile's predictor moved to another one's target."""

    profile: str
    kind: str
    seed: int
    to: str | None
    sha256: str  # of the profiles, first letters


@cache
def profile_named(name: str) -> Profile:
    return vh.load_profile(shipped("profiles") / f"{name}.jsonl")


def jobs() -> list[Job]:
    """The slow ones last: transfers, then networks."""
    sha = {path.stem: file_sha256(path)[:12] for path in sorted(shipped("profiles").glob("*.jsonl"))}
    found = []
    for kind in (*KINDS, *(kind for kind in BASELINES if kind != "mlp"), "transfer", "mlp"):
        for name in sorted(sha, key=lambda name: len(profile_named(name).ok)):
            others = [
                other for other in sha if other != name and profile_named(other).space == profile_named(name).space
            ]
            for seed in range(SPLITS):
                if kind == "transfer":
                    found += [Job(name, kind, seed, other, f"{sha[name]}+{sha[other]}") for other in others]
                else:
                    found.append(Job(name, kind, seed, None, sha[name]))
    return found


def run(job: Job) -> dict[str, Any]:
    start = time.process_time()
    found = kind_row(job) if job.to is None else transfer_row(job)
    return asdict(job) | {"found": found, "cpu_s": round(time.process_time() - start, 2)}


def examples(profile: Profile) -> tuple[list[Any], Floats]:
    return [row.subnet for row in profile.ok], np.array([row.latency_ms for row in profile.ok])


def kind_row(job: Job) -> dict[str, Any]:
    profile = profile_named(job.profile)
    found = measured_of(profile).examples()
    held_out = held_out_predictions(job.kind, found, job.seed, fit_any)
    return scores(held_out, found.measured) | pooled(held_out, found.measured, job.seed)


def pooled(held_out: Floats, measured: Floats, seed: int) -> dict[str, float]:
    """Coverage of intervals calibrated without the fold that they are tested on; thirds are of the measured order."""
    inside = covered_by_fold(held_out, measured, folds(len(measured), seed))
    thirds = [float(inside[part].mean()) for part in np.array_split(np.argsort(measured, kind="stable"), 3)]
    return {"coverage": float(inside.mean()), **{f"third_{i + 1}": value for i, value in enumerate(thirds)}}


def transfer_row(job: Job) -> dict[str, Any]:
    """Tested on a fifth of the other profile's subnets, which no predictor here has seen on either target."""
    assert job.to is not None
    profile = profile_named(job.to)
    subnets, measured = examples(profile)
    train, test = folds(len(subnets), job.seed)[0]
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
    seen = [row for row in profile.ok if row.subnet not in without]
    known = Measured([row.subnet for row in seen], [row.latency_ms for row in seen], profile.target, profile.space)
    found = known.examples()
    model = fit_model(DEFAULT_KIND, found, seed)
    return Predictor.of(known, found, DEFAULT_KIND, model, model.predict(found.table), seed)


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 5) for key in rows[0]}


def report(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the splits; a kind whose splits are not all there is left out."""
    found: dict[tuple[str, str | None], dict[str, list[dict[str, Any]]]] = {}
    for job in jobs():
        done = next((row for row in rows if asdict(job).items() <= row.items()), None)
        if done is not None:
            found.setdefault((job.profile, job.to), {}).setdefault(job.kind, []).append(done)
    whole = {
        place: {kind: some for kind, some in kinds.items() if len(some) == SPLITS} for place, kinds in found.items()
    }
    profiles = {name: of_profile(name, kinds) for (name, to), kinds in whole.items() if to is None}
    moved = {
        f"{name} -> {to}": {key: mean_of([row["found"][key] for row in some]) for key in some[0]["found"]}
        for (name, to), kinds in whole.items()
        if to is not None
        for some in kinds.values()
    }
    return {"goals": GOALS, "profiles": profiles, "transfer": moved}


def of_profile(name: str, rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    profile = profile_named(name)
    floor = profile.noise_floor
    kinds = {
        kind: mean_of([row["found"] for row in some]) | {"cpu_s": round(float(np.mean([r["cpu_s"] for r in some])), 1)}
        for kind, some in rows.items()
    }
    own, others = kinds[DEFAULT_KIND], {kind: one["mape"] for kind, one in kinds.items() if kind != DEFAULT_KIND}
    best = min(others, key=others.__getitem__, default=None)
    true_ms = vh.load_predictor(name).predict([row.subnet for row in profile.ok]).latency_ms
    return {
        "subnets": len(profile.ok),
        "noise_floor": None if floor is None else floor.mean,
        "perfect": None if floor is None else ceiling(true_ms, floor),
        "kinds": kinds,
        "best_baseline": best,
        "over_best_baseline": None if best is None else round(own["mape"] / others[best], 3),
        "over_noise_floor": None if floor is None else round(own["mape"] / min(floor.mean, HIGHEST_FLOOR), 3),
    }


def show(result: dict[str, Any]) -> None:
    for name, row in result["profiles"].items():
        floor = "not measured" if row["noise_floor"] is None else f"{row['noise_floor']:.1%}"
        print(f"\n{name}: {row['subnets']} subnets, noise floor {floor}")
        for kind, found in (*row["kinds"].items(), ("perfect", row["perfect"])):
            if found is not None:
                shares = "  ".join(f"{key} {found[key]:.3f}" for key in ("within_10", "kendall", "spearman"))
                print(f"  {kind:8} {found['mape']:.2%}  {shares}  {found.get('cpu_s', 0):.1f} s")
        own = row["kinds"][DEFAULT_KIND]
        print(f"  over the best baseline ({row['best_baseline']}) {row['over_best_baseline']}, goal <= 1.02")
        print(f"  over the noise floor {row['over_noise_floor']}, goal <= 1.5, a floor above 4% counts as 4%")
        covered = "  ".join(f"{own[key]:.3f}" for key in ("coverage", "third_1", "third_2", "third_3"))
        print(f"  coverage and its thirds {covered}, goal 0.87 to 0.94, thirds >= 0.83")
    for name, row in result["transfer"].items():
        print(f"\n{name}")
        for key, found in row.items():
            print(f"  {key:22} {found['mape']:.2%}  rho {found['spearman']:.4f}")


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
