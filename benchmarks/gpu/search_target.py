"""How much latency does a search by FLOPs alone leave on the table, on this target?

    PYTHONPATH=.:benchmarks python benchmarks/gpu/search_target.py gpu1/PROFILE.jsonl --seconds 480 --out OUT
    PYTHONPATH=.:benchmarks python benchmarks/gpu/search_target.py --plot OUT/search_target.json       # anywhere

On the machine of the profile. A predictor is fitted to it. For each ceiling, a share of the reference's p50, the space
is searched twice, with the same effort, seed and score: under the ceiling, finalists measured here; and under the MACs
of what that search chose, as one does who counts FLOPs only. Nobody's supernet of 1000 classes is at hand, so
both rank by the number of parameters, a weak stand-in for accuracy: what is told apart here are the costs. At the end
all choices and the reference are measured again, side by side in interleaved rounds. Beside each choice stands the
latency predicted for random subnets within 2% of its MACs.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import vitas_hw as vh
from profiles import Log
from vitas_hw.core import Subnet, VitasError
from vitas_hw.predictors import Predictor
from vitas_hw.profiling import Profile, place_of
from vitas_hw.profiling.environment import environment
from vitas_hw.searching import Costs
from vitas_hw.workflows.fit import fit_predictor
from vitas_hw.workflows.search.measure_finalists import finalist_meter

SHARES = (0.5, 0.7, 1.0)
RANDOM, SHOWN = 200_000, 1_500  # subnets predicted; of them drawn in the plot
NEAR = 0.02
EFFORT, SMALL_EFFORT = {"population": 16, "generations": 6}, {"population": 4, "generations": 3}
_LAST_S = 60.0  # for measuring all again


@dataclass(frozen=True)
class Pair:
    """Both searches of one ceiling and seed."""

    share: float
    seed: int
    by_latency: Subnet
    by_macs: Subnet
    params: tuple[int, int]


def reference_of(space: vh.SearchSpace) -> tuple[str, Subnet]:
    """DeiT-Ti where it lies in the space, else the largest subnet."""
    deit = vh.published_subnet("deit-ti")
    return ("deit-ti", deit) if space.contains(deit) else ("largest", space.largest)


def searched(
    space: vh.SearchSpace,
    predictor: Predictor,
    meter: Any,
    ceiling: float,
    share: float,
    seed: int,
    effort: dict[str, int],
) -> Pair:
    """The two searches."""
    fast = vh.search(
        space,
        latency=f"{ceiling:.6g}ms",
        predictor=predictor,
        measure=meter,
        accuracy="params",
        seed=seed,
        **effort,
    ).result.choice
    macs = f"{fast.subnet.macs / 1e3 + 1e-4:.4f}K"  # that number and no rounding below it
    light = vh.search(space, flops=macs, accuracy="params", seed=seed, **effort).result.choice
    return Pair(share, seed, fast.subnet, light.subnet, (fast.subnet.params, light.subnet.params))


def cloud(space: vh.SearchSpace, predictor: Predictor) -> tuple[Any, Any]:
    """MACs and predicted milliseconds of random subnets."""
    codes = space.sample_codes(RANDOM, np.random.default_rng(0))
    return Costs(space).of(codes)["macs"], predictor.predict_columns(space.columns(codes)).latency_ms


def percentiles(values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    return {f"p{share}_ms": round(float(np.percentile(values, share)), 5) for share in (5, 50, 95)}


def told(pairs: list[Pair], measured: dict[str, float], macs: Any, predicted: Any, reference_ms: float) -> list[Any]:
    """A row a pair: costs of both, measured side by side, and what else has these MACs."""
    rows = []
    for pair in pairs:
        near = predicted[np.abs(macs / pair.by_latency.macs - 1) < NEAR]
        latency, by_macs = measured[pair.by_latency.digest], measured[pair.by_macs.digest]
        rows.append(
            {
                "share": pair.share,
                "seed": pair.seed,
                "ceiling_ms": round(pair.share * reference_ms, 5),
                "by_latency": {"subnet": pair.by_latency.to_dict(), "macs": pair.by_latency.macs, "ms": latency},
                "by_macs": {"subnet": pair.by_macs.to_dict(), "macs": pair.by_macs.macs, "ms": by_macs},
                "params": pair.params,
                "left_on_the_table": round(by_macs / latency - 1, 4),
                "equal_macs": {"subnets": len(near), **percentiles(near)},
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path, nargs="?")
    parser.add_argument(
        "--seconds", type=float, default=480, help="begin no search after this, less the last measuring"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="one ceiling, few evaluations: to try it")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path, help="draw a result found earlier, beside it")
    given = parser.parse_args()
    if given.plot is not None:
        plot(json.loads(given.plot.read_text()), given.plot.with_suffix(".png"))
    elif given.profile is None or given.out is None:
        parser.error("give a profile and --out, or --plot")
    else:
        effort, shares = (SMALL_EFFORT, SHARES[1:2]) if given.small else (EFFORT, SHARES)
        run(vh.load_profile(given.profile), given.out, given.seconds, given.seeds, shares, effort)


def run(
    profile: Profile, out: Path, seconds: float, seeds: int, shares: tuple[float, ...], effort: dict[str, int]
) -> None:
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    log, space, predictor = Log(out / "log.txt"), profile.space, fit_predictor(profile)
    place = place_of(profile.target, predictor.fingerprint)
    if place is None:
        raise VitasError(f"{profile.target.slug} is not the target of this machine.")
    meter = finalist_meter(place, profile, 0, log)
    name, reference = reference_of(space)
    (reference_ms,) = meter([reference])
    macs, predicted = cloud(space, predictor)
    log.note(f"{name}: {reference_ms:.4g} ms on {profile.target.slug}")
    pairs: list[Pair] = []

    def keep(result: dict[str, Any]) -> None:
        (out / "search_target.json").write_text(json.dumps(result, indent=1) + "\n")

    for seed in range(seeds):  # all ceilings once before a second seed
        for share in shares:
            if time.monotonic() - started > seconds - _LAST_S:
                log.note(f"no time left for share {share}, seed {seed}")
                continue
            try:
                pairs.append(searched(space, predictor, meter, share * reference_ms, share, seed, effort))
                keep({"begun": [asdict(pair) for pair in pairs]})
            except VitasError as error:
                log.note(f"share {share}, seed {seed}: {error}")
    everything = {subnet.digest: subnet for pair in pairs for subnet in (pair.by_latency, pair.by_macs)}
    everything[reference.digest] = reference
    measured = dict(zip(everything, meter([*everything.values()]), strict=True))
    result = {
        "target": profile.target.to_dict(),
        "reference": {"name": name, "ms": measured[reference.digest], "macs": reference.macs},
        "noise_floor": asdict(profile.noise_floor) if profile.noise_floor else None,
        "rows": told(pairs, measured, macs, predicted, reference_ms),
        "random": {"macs": macs[:SHOWN].tolist(), "predicted_ms": np.round(predicted[:SHOWN], 5).tolist()},
        "environment": environment({"random": RANDOM, "near": NEAR}, place.accelerator),
    }
    keep(result)
    for row in result["rows"]:
        log.note(
            f"{row['share']:.0%} of {name}, seed {row['seed']}: by latency {row['by_latency']['ms']:.4g} ms,"
            f" by MACs {row['by_macs']['ms']:.4g} ms: {row['left_on_the_table']:+.1%}"
        )


def plot(result: dict[str, Any], path: Path) -> None:
    """Latency over MACs: random subnets, and an arrow from each choice by MACs to the one by latency."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no window

    figure = Figure(figsize=(8, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    cloud_macs = np.array(result["random"]["macs"]) / 1e9
    axes.scatter(cloud_macs, result["random"]["predicted_ms"], s=5, color="#bdc1c6", lw=0, label="random, predicted")
    for key, colour, label in (("by_macs", "#d93025", "searched by MACs"), ("by_latency", "#1a73e8", "by latency")):
        x, y = ([row[key][cost] / scale for row in result["rows"]] for cost, scale in (("macs", 1e9), ("ms", 1)))
        axes.scatter(x, y, s=36, color=colour, lw=0, label=label, zorder=3)
    for ceiling in sorted({row["ceiling_ms"] for row in result["rows"]}):
        axes.axhline(ceiling, color="#9aa0a6", lw=0.8, ls="--", zorder=0)
    reference = result["reference"]
    axes.scatter(
        [reference["macs"] / 1e9], [reference["ms"]], marker="*", s=90, color="#188038", label=reference["name"]
    )
    axes.set_xlabel("GMACs")
    axes.set_ylabel("latency p50, ms")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(path)


if __name__ == "__main__":
    main()
