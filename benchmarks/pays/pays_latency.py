"""Searched by latency: a supernet's search under what the best net by hand of 3M measures on this machine.

    python benchmarks/pays/pays_latency.py --seed 0    # after pays_search.py with that seed, on the same machine, quiet

The space is profiled once (ONNX Runtime, one thread), the search measures its finalists with that profile. Then the
net by hand, the choice by MACs of 3M and the choice by latency are measured side by side, in ``REPEATS`` calls of
interleaved rounds each; their line in ``searches.jsonl`` holds every p50. ``run_study.py train`` trains the choice.
Another machine has other latencies: ceiling and comparison are each supernet's own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pays_nets
import pays_search
import run_study
import torch

import vitas_hw as vh
from vitas_hw.core import SILENT, Subnet
from vitas_hw.profiling import place_of
from vitas_hw.runs import Run, load_run_predictor
from vitas_hw.runs.artifacts import run_profile
from vitas_hw.supernet import load_supernet
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.measure_finalists import finalist_meter

BY_MACS = "3M"
PROFILED = ProfileSettings(backend="onnxruntime", num_subnets=200)
REPEATS = 5


def prepared() -> Run:
    """A run with a profile of the study's space on this machine; measured once."""
    run = Run(pays_search.KEPT / "run")
    if "profile" not in {step["step"] for step in run.read()["steps"]}:
        with run.locked():
            run.begin(pays_nets.SPACE)
        profile(run, PROFILED)
    return run


def nets(seed: int, rows: run_study.Rows, searches: run_study.Rows) -> dict[str, Subnet]:
    """What is compared with the choice by latency. Ends the program while it is not there."""
    by_hand = run_study.best("by hand", BY_MACS, rows)
    by_macs = {net.why: net.subnet for net in run_study.ours(BY_MACS, searches)}.get(f"supernet {seed}")
    if by_hand is None or by_macs is None:
        raise SystemExit(f"Not yet: nets by hand of {BY_MACS} and the search of supernet {seed} come first.")
    return {"by hand": by_hand.subnet, "by MACs": by_macs}


def study(seed: int) -> None:
    """One supernet's search by latency, unless it is there."""
    searches = run_study.read(run_study.SEARCHES)
    if any((row["kind"], row["seed"]) == ("latency", seed) for row in searches):
        return
    others = nets(seed, run_study.read(run_study.ROWS), searches)
    torch.set_num_threads(1)
    cpu, run = time.process_time(), prepared()
    predictor, _ = load_run_predictor(run)
    place = place_of(predictor.target, predictor.fingerprint)
    if place is None:
        raise SystemExit(f"{run.path} was profiled on another machine; remove it.")
    meter = finalist_meter(place, run_profile(run, predictor), seed, SILENT)
    (ceiling_ms,) = meter([others["by hand"]])
    found = vh.search(
        predictor.space,
        supernet=load_supernet(pays_search.KEPT / f"supernet-{seed}.safetensors").eval(),
        data=pays_search.library_data(),
        latency=f"{ceiling_ms:.4f}ms",
        predictor=predictor,
        measure=meter,
        seed=seed,
    )
    choice = found.choice.subnet
    compared = {**others, "by latency": choice}
    about = {
        "ceiling_ms": ceiling_ms,
        "digest": choice.digest,
        "macs": choice.macs,
        "subnet": choice.to_dict(),
        "candidates": len(found.candidates),
        "digests": {name: subnet.digest for name, subnet in compared.items()},
        "p50_ms": measured(compared, meter),
        "target": predictor.target.slug,
    }
    pays_search.add("latency", seed, cpu, about)


def measured(subnets: Mapping[str, Subnet], meter: Any) -> dict[str, list[float]]:
    """p50 of each in each repeat, all of a repeat side by side; of equal subnets one is measured."""
    different = {subnet.digest: subnet for subnet in subnets.values()}
    repeats = [dict(zip(different, meter(list(different.values())), strict=True)) for _ in range(REPEATS)]
    return {name: [round(one[subnet.digest], 5) for one in repeats] for name, subnet in subnets.items()}


def compare(rows: run_study.Rows, found: Mapping[tuple[str, int], float]) -> list[dict[str, Any]]:
    """Of each supernet whose choice by latency is trained: latency and top-1 beside those of the other two."""
    return [_compared(row, found) for row in rows if row["kind"] == "latency" and _top1(row["digest"], found)]


def _compared(row: run_study.Row, found: Mapping[tuple[str, int], float]) -> dict[str, Any]:
    result: dict[str, Any] = {"supernet": row["seed"], "target": row["target"], "ceiling_ms": row["ceiling_ms"]}
    mine = _top1(row["digest"], found)
    for name, digest in row["digests"].items():
        other = _top1(digest, found)
        ratios = sorted(a / b for a, b in zip(row["p50_ms"]["by latency"], row["p50_ms"][name], strict=True))
        result[name] = {
            "top1": _mean(other),
            "ms": sorted(row["p50_ms"][name])[REPEATS // 2],
            "ours_over_its_ms": round(ratios[len(ratios) // 2], 4),
            "ours_less_its_top1": round(_mean(mine) - _mean(other), 5) if other else None,
        }
    return result


def _top1(digest: str, found: Mapping[tuple[str, int], float]) -> list[float]:
    return [found[digest, seed] for seed in range(run_study.SEEDS["ours"]) if (digest, seed) in found]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, choices=run_study.SUPERNET_SEEDS, required=True)
    study(parser.parse_args().seed)
