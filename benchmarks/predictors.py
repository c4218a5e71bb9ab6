"""Every kind of predictor on every shipped profile: held-out errors, intervals, transfer, throughput.

    python benchmarks/predictors.py [--profiles profiles] [--output benchmarks/results/predictors.json]

Five splits (seeds of the cross-validation) a profile, hyperparameters chosen inside each training fold. The goals stand
beside the numbers; throughput is of one core and wants a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_tools import RESULTS, write

import vitas_hw as vh
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.predictors.calibration import Calibration
from vitas_hw.predictors.features import Floats, Inputs, Scale
from vitas_hw.predictors.folds import folds
from vitas_hw.predictors.kinds import DEFAULT_KIND, KINDS, held_out_predictions
from vitas_hw.predictors.line import fit_flops
from vitas_hw.predictors.predictor import Predictor, fit
from vitas_hw.predictors.scores import scores
from vitas_hw.predictors.transfer import choose_to_measure, transfer
from vitas_hw.profiling.profile import Profile

SPLITS = 5
TRANSFERRED = (10, 20, 50)
HIGHEST_FLOOR = 0.04  # a noise floor above counts as this


def examples(profile: Profile) -> tuple[list[Any], Floats]:
    return [row.subnet for row in profile.ok], np.array([row.latency_ms for row in profile.ok])


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 5) for key in rows[0]}


def pooled(held_out: Floats, measured: Floats, seed: int) -> dict[str, float]:
    """Coverage of intervals calibrated without the fold that they are tested on; thirds are of the measured order."""
    inside = np.zeros(len(measured))
    for train, test in folds(len(measured), seed):
        lower, upper = Calibration.of(held_out[train], measured[train]).interval(held_out[test])
        inside[test] = (lower <= measured[test]) & (measured[test] <= upper)
    thirds = [float(inside[part].mean()) for part in np.array_split(np.argsort(measured, kind="stable"), 3)]
    return {"coverage": float(inside.mean()), **{f"third_{i + 1}": value for i, value in enumerate(thirds)}}


def kinds_of(profile: Profile) -> dict[str, Any]:
    subnets, measured = examples(profile)
    inputs = Inputs.of(SubnetColumns.of(subnets), Scale.of(profile.target))
    found: dict[str, Any] = {}
    for kind in KINDS:
        start = time.perf_counter()
        held_out = [held_out_predictions(kind, inputs, measured, seed) for seed in range(SPLITS)]
        seconds = (time.perf_counter() - start) / SPLITS
        found[kind] = mean_of([scores(one, measured) for one in held_out]) | {"cross_validation_s": round(seconds, 2)}
        if kind == DEFAULT_KIND:
            intervals = mean_of([pooled(one, measured, seed) for seed, one in enumerate(held_out)])
    floor = profile.noise_floor.mean if profile.noise_floor else None
    others = min(found[kind]["mape"] for kind in KINDS if kind != DEFAULT_KIND)
    own = found[DEFAULT_KIND]
    verdict = {
        "over_best_baseline": round(own["mape"] / others, 3),
        "over_noise_floor": None if floor is None else round(own["mape"] / min(floor, HIGHEST_FLOOR), 3),
    }
    return {"subnets": len(measured), "noise_floor": floor, "kinds": found, "intervals": intervals} | verdict


def transfers(old: Predictor, profile: Profile) -> dict[str, Any]:
    """The old predictor moved to another profile's target; tested on the subnets that were not measured for it."""
    subnets, measured = examples(profile)
    latency = dict(zip(subnets, measured.tolist(), strict=True))
    scale = Scale.of(profile.target)
    result: dict[str, Any] = {}
    for count in TRANSFERRED:
        rows: dict[str, list[dict[str, float]]] = {"transfer": [], "line through MACs": [], "full fit": []}
        for seed in range(SPLITS):
            train, test = folds(len(subnets), seed)[0]
            pool, fresh = [subnets[index] for index in train], [subnets[index] for index in test]
            chosen = choose_to_measure(old, pool, count, seed)
            known = [latency[subnet] for subnet in chosen]
            new = transfer(old, chosen, known, target=profile.target, seed=seed)
            inputs, unseen = (Inputs.of(SubnetColumns.of(some), scale) for some in (chosen, fresh))
            rows["transfer"].append(scores(new.predict(fresh).latency_ms, measured[test]))
            line = fit_flops(inputs, np.array(known), seed)
            rows["line through MACs"].append(scores(line.predict(unseen), measured[test]))
            if count == TRANSFERRED[0]:
                full = fitted(profile, pool, measured[train], seed)
                rows["full fit"].append(scores(full.predict(fresh).latency_ms, measured[test]))
        result[str(count)] = {name: mean_of(some) for name, some in rows.items() if some}
    return result


def fitted(profile: Profile, subnets: Sequence[Any], measured: Floats, seed: int = 0) -> Predictor:
    return fit(
        subnets,
        measured.tolist(),
        target=profile.target,
        space=profile.space,
        noise_floor=None,
        profile_sha256="",
        fingerprint="",
        seed=seed,
    )


def throughput(predictor: Predictor) -> dict[str, int]:
    """Subnets a second, best of five."""
    space = predictor.space
    codes = space.sample_codes(100_000, np.random.default_rng(0))
    subnets = [space.decode(code) for code in codes[:10_000]]

    def best(count: int, work: Any) -> int:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return round(count / min(seconds))

    return {
        "from_subnets": best(len(subnets), lambda: predictor.predict(subnets)),
        "from_codes": best(len(codes), lambda: predictor.predict_columns(space.columns(codes))),
    }


def show(name: str, row: dict[str, Any]) -> None:
    floor = "not measured" if row["noise_floor"] is None else f"{row['noise_floor']:.1%}"
    print(f"\n{name}: {row['subnets']} subnets, noise floor {floor}")
    for kind, found in row["kinds"].items():
        shares = "  ".join(f"{key} {found[key]:.3f}" for key in ("within_5", "within_10", "kendall", "spearman"))
        print(f"  {kind:8} {found['mape']:.2%}  {shares}  {found['cross_validation_s']:.1f} s")
    print(f"  over the best baseline {row['over_best_baseline']} (goal <= 1.02)")
    print(f"  over the noise floor {row['over_noise_floor']} (goal <= 1.5, a floor above 4% counts as 4%)")
    print(f"  intervals {row['intervals']} (goal 0.87 to 0.94, thirds >= 0.83)")
    print(f"  subnets a second {row['throughput']} (goal 20,000 and 200,000)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", type=Path, default=Path(__file__).parent.parent / "profiles")
    parser.add_argument("--output", type=Path, default=RESULTS / "predictors.json")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    profiles = {path.stem: vh.load_profile(path) for path in sorted(arguments.profiles.glob("*.jsonl"))}
    predictors = {name: fitted(profile, *examples(profile)) for name, profile in profiles.items()}
    rows: dict[str, Any] = {}
    for name, profile in profiles.items():
        rows[name] = kinds_of(profile) | {"throughput": throughput(predictors[name])}
        show(name, rows[name])
    moved: dict[str, Any] = {}
    for name, old in predictors.items():
        for other, profile in profiles.items():
            if other != name and profile.space == old.space:
                moved[f"{name} -> {other}"] = transfers(old, profile)
                print(f"\n{name} -> {other}")
                for count, found in moved[f"{name} -> {other}"].items():
                    line = "  ".join(f"{k}: {v['mape']:.2%}, rho {v['spearman']:.3f}" for k, v in found.items())
                    print(f"  {count}: {line}", flush=True)
    settings = {"splits": SPLITS, "profiles": list(profiles)}
    write(arguments.output, {"profiles": rows, "transfer": moved}, settings, load_before)


if __name__ == "__main__":
    main()
